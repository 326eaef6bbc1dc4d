#include "steer/programs.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>
#include <vector>

#include "bpf/generated/steer.h"
#include "bpf/steer_state.h"

namespace steer {

namespace {

constexpr char kLicense[] = "Dual BSD/GPL";
constexpr size_t kLogBytes = size_t{1} << 20;

long Bpf(bpf_cmd command, bpf_attr* attributes) {
  return syscall(SYS_bpf, command, attributes, sizeof *attributes);
}

uint64_t Address(const void* of) { return reinterpret_cast<uint64_t>(of); }

const char* Remedy() {
  return errno == EPERM ? "CAP_BPF and CAP_NET_ADMIN are needed"
                        : "the kernel refused the steering programs; Linux >= 5.15 is needed";
}

base::Result<base::UniqueFd> CreateMap(const char* name, bpf_map_type type, uint32_t value_bytes,
                                       uint32_t entries, uint32_t flags) {
  bpf_attr attributes{};
  attributes.map_type = type;
  attributes.key_size = sizeof(uint32_t);
  attributes.value_size = value_bytes;
  attributes.max_entries = entries;
  attributes.map_flags = flags;
  std::snprintf(attributes.map_name, sizeof attributes.map_name, "%s", name);
  base::UniqueFd fd(static_cast<int>(Bpf(BPF_MAP_CREATE, &attributes)));
  if (fd.valid()) return fd;
  return base::SystemError("BPF_LOAD_FAILED", std::string("bpf(BPF_MAP_CREATE ") + name + ")",
                           Remedy());
}

// What the verifier said last, less its statistics.
std::string LastWords(const std::vector<char>& log) {
  std::string all(log.data());
  std::string last;
  for (size_t at = 0; at < all.size();) {
    const size_t end = std::min(all.find('\n', at), all.size());
    const std::string line = all.substr(at, end - at);
    if (!line.empty() && !line.starts_with("processed ")) last = line;
    at = end + 1;
  }
  return last;
}

int MapOf(const Programs& made, MapName name) {
  switch (name) {
    case MapName::steer_state:
      return made.state_map.get();
    case MapName::xsks:
      return made.xsks_map.get();
    case MapName::overlay_xsks:
      return made.overlay_xsks_map.get();
  }
  return -1;
}

base::Result<base::UniqueFd> LoadProgram(const ProgramText& text, const Programs& made) {
  std::vector<bpf_insn> code(text.code.begin(), text.code.end());
  for (const MapPlace& place : text.maps) {
    code[place.instruction].src_reg = BPF_PSEUDO_MAP_FD;
    code[place.instruction].imm = MapOf(made, place.map);
  }
  bpf_attr attributes{};
  attributes.prog_type = text.type;
  attributes.expected_attach_type = text.attach_type;
  attributes.insn_cnt = static_cast<uint32_t>(code.size());
  attributes.insns = Address(code.data());
  attributes.license = Address(kLicense);
  // Cut off where the kernel would refuse it, as every loader does.
  std::snprintf(attributes.prog_name, sizeof attributes.prog_name, "%s", text.name);
  base::UniqueFd fd(static_cast<int>(Bpf(BPF_PROG_LOAD, &attributes)));
  if (fd.valid()) return fd;

  const int refusal = errno;
  std::vector<char> log(kLogBytes);
  attributes.log_level = 1;
  attributes.log_size = static_cast<uint32_t>(log.size());
  attributes.log_buf = Address(log.data());
  const base::UniqueFd again(static_cast<int>(Bpf(BPF_PROG_LOAD, &attributes)));
  log.back() = '\0';
  const std::string words = LastWords(log);
  errno = refusal;
  return base::SystemError("BPF_LOAD_FAILED", std::string("bpf(BPF_PROG_LOAD ") + text.name + ")",
                           Remedy() + (words.empty() ? "" : " (the verifier: " + words + ")"));
}

}  // namespace

base::Result<Programs> LoadPrograms() {
  Programs programs;
  auto state =
      CreateMap("steer_state", BPF_MAP_TYPE_ARRAY, sizeof(rs_steer_state), 1, BPF_F_MMAPABLE);
  if (!state.ok()) return state.error();
  programs.state_map = std::move(state).value();
  auto xsks = CreateMap("xsks", BPF_MAP_TYPE_XSKMAP, sizeof(uint32_t), RS_QUEUES_MAX, 0);
  if (!xsks.ok()) return xsks.error();
  programs.xsks_map = std::move(xsks).value();
  auto overlay_xsks =
      CreateMap("overlay_xsks", BPF_MAP_TYPE_XSKMAP, sizeof(uint32_t), RS_WORKERS_MAX, 0);
  if (!overlay_xsks.ok()) return overlay_xsks.error();
  programs.overlay_xsks_map = std::move(overlay_xsks).value();

  const struct {
    const ProgramText& text;
    base::UniqueFd& fd;
  } all[] = {
      {generated::rs_overlay_egress, programs.overlay_egress},
      {generated::rs_overlay_ingress, programs.overlay_ingress},
      {generated::rs_underlay_ingress, programs.underlay_ingress},
      {generated::rs_nic_ingress, programs.nic_ingress},
      {generated::rs_nic_egress, programs.nic_egress},
      {generated::rs_packet_filter, programs.packet_filter},
      {generated::rs_xdp_redirect, programs.xdp_redirect},
      {generated::rs_xdp_overlay, programs.xdp_overlay},
  };
  for (const auto& [text, fd] : all) {
    auto loaded = LoadProgram(text, programs);
    if (!loaded.ok()) return loaded.error();
    fd = std::move(loaded).value();
  }
  return programs;
}

}  // namespace steer
