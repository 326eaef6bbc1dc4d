#include "xdp/program.h"

#include <linux/bpf.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace xdp {

namespace {

long Bpf(bpf_cmd command, bpf_attr* attributes) {
  return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

// The payload of the first attribute of that type, or nullptr.
const rtattr* Find(const rtattr* attribute, int bytes, unsigned short type) {
  for (; RTA_OK(attribute, bytes); attribute = RTA_NEXT(attribute, bytes)) {
    if ((attribute->rta_type & NLA_TYPE_MASK) == type) return attribute;
  }
  return nullptr;
}

// The id of the program on the device, whichever mode it is in; 0 when none.
uint32_t AttachedProgramId(uint32_t ifindex) {
  base::UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
  struct {
    nlmsghdr header;
    ifinfomsg link;
  } request{};
  request.header.nlmsg_len = sizeof request;
  request.header.nlmsg_type = RTM_GETLINK;
  request.header.nlmsg_flags = NLM_F_REQUEST;
  request.link.ifi_index = static_cast<int>(ifindex);
  if (!fd.valid() || send(fd.get(), &request, sizeof request, 0) < 0) return 0;
  alignas(nlmsghdr) char answer[16384];
  const ssize_t n = recv(fd.get(), answer, sizeof answer, 0);
  const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
  if (n < 0 || !NLMSG_OK(header, static_cast<size_t>(n)) || header->nlmsg_type != RTM_NEWLINK)
    return 0;
  const auto* link = static_cast<const ifinfomsg*>(NLMSG_DATA(header));
  const rtattr* xdp = Find(IFLA_RTA(link), static_cast<int>(IFLA_PAYLOAD(header)), IFLA_XDP);
  if (xdp == nullptr) return 0;
  for (const unsigned short type : {IFLA_XDP_PROG_ID, IFLA_XDP_DRV_PROG_ID, IFLA_XDP_SKB_PROG_ID}) {
    const rtattr* id =
        Find(static_cast<const rtattr*>(RTA_DATA(xdp)), static_cast<int>(RTA_PAYLOAD(xdp)), type);
    if (id != nullptr) return *static_cast<const uint32_t*>(RTA_DATA(id));
  }
  return 0;
}

std::string ProgramName(uint32_t id) {
  bpf_attr attributes{};
  attributes.prog_id = id;
  base::UniqueFd fd(static_cast<int>(Bpf(BPF_PROG_GET_FD_BY_ID, &attributes)));
  if (!fd.valid()) return "name unknown";
  bpf_prog_info info{};
  std::memset(&attributes, 0, sizeof attributes);
  attributes.info.bpf_fd = static_cast<uint32_t>(fd.get());
  attributes.info.info_len = sizeof info;
  attributes.info.info = reinterpret_cast<uint64_t>(&info);
  if (Bpf(BPF_OBJ_GET_INFO_BY_FD, &attributes) != 0) return "name unknown";
  return std::string(info.name, strnlen(info.name, sizeof info.name));
}

}  // namespace

std::string DescribeAttachedProgram(uint32_t ifindex) {
  const uint32_t id = AttachedProgramId(ifindex);
  if (id == 0) return "";
  return "id " + std::to_string(id) + " (" + ProgramName(id) + ")";
}

base::Result<base::UniqueFd> AttachProgram(int program_fd, const std::string& device,
                                           uint32_t ifindex, AttachMode mode) {
  bpf_attr attributes{};
  attributes.link_create.prog_fd = static_cast<uint32_t>(program_fd);
  attributes.link_create.target_ifindex = ifindex;
  attributes.link_create.attach_type = BPF_XDP;
  attributes.link_create.flags =
      mode == AttachMode::kNative ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
  base::UniqueFd link(static_cast<int>(Bpf(BPF_LINK_CREATE, &attributes)));
  if (link.valid()) return link;
  const std::string op = "bpf(BPF_LINK_CREATE xdp " + device + ")";
  if (errno == EBUSY || errno == EEXIST) {
    const int refusal = errno;
    const std::string holder = DescribeAttachedProgram(ifindex);
    return base::Error{
        "XDP_PROGRAM_FOREIGN", refusal, op,
        "XDP program " + (holder.empty() ? "of unknown id" : holder) + " already holds " + device +
            " and is left alone; detach it, or choose another underlay port (--underlay-port=tap)"};
  }
  const char* remedy = "the device or its driver refuses this XDP mode";
  if (errno == EOPNOTSUPP) remedy = "the driver has no native XDP";
  if (errno == EPERM) remedy = "CAP_NET_ADMIN and CAP_BPF are needed";
  if (errno == ERANGE || errno == EINVAL)
    remedy = "the driver refuses native XDP with this MTU or these offloads";
  if (errno == ENOSPC) remedy = "a veth needs at least as many rx queues as its peer has tx queues";
  return base::SystemError("XDP_ATTACH_FAILED", op, device + ": " + remedy);
}

base::Status RegisterSocket(int xskmap_fd, uint32_t queue_id, int socket_fd) {
  bpf_attr attributes{};
  attributes.map_fd = static_cast<uint32_t>(xskmap_fd);
  attributes.key = reinterpret_cast<uint64_t>(&queue_id);
  attributes.value = reinterpret_cast<uint64_t>(&socket_fd);
  if (Bpf(BPF_MAP_UPDATE_ELEM, &attributes) == 0) return base::Ok();
  return base::SystemError(
      "XDP_ATTACH_FAILED", "bpf(BPF_MAP_UPDATE_ELEM xsks)",
      "queue " + std::to_string(queue_id) + " is outside the map, or CAP_BPF is missing");
}

}  // namespace xdp
