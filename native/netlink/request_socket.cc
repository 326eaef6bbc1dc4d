#include "netlink/request_socket.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>

#include "netlink/socket.h"

namespace netlink {
namespace {

// Calls visit(header, body) for each whole message of a datagram.
template <typename Visit>
void ForEachMessage(std::span<const uint8_t> bytes, Visit visit) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    nlmsghdr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nlmsg_len < sizeof header || header.nlmsg_len > bytes.size()) return;
    visit(header, bytes.subspan(sizeof header, header.nlmsg_len - sizeof header));
    const size_t step = NLMSG_ALIGN(header.nlmsg_len);
    if (step >= bytes.size()) return;
    bytes = bytes.subspan(step);
  }
}

base::Error Refused(const Outcome& outcome, const char* op) {
  return base::Error{"NETLINK_REFUSED", outcome.os_error, op,
                     outcome.message.empty() ? "the kernel refused the request" : outcome.message};
}

}  // namespace

Outcome ParseAck(std::span<const uint8_t> body, uint16_t flags) {
  Outcome outcome;
  if (body.size() < sizeof(nlmsgerr)) return Outcome{EBADMSG, "the kernel's answer was cut short"};
  nlmsgerr ack;
  std::memcpy(&ack, body.data(), sizeof ack);
  outcome.os_error = -ack.error;
  if ((flags & NLM_F_ACK_TLVS) == 0) return outcome;
  // Without NLM_F_CAPPED the request itself comes back before the attributes.
  size_t skip = sizeof ack;
  if ((flags & NLM_F_CAPPED) == 0 && ack.msg.nlmsg_len >= sizeof(nlmsghdr)) {
    skip += NLMSG_ALIGN(ack.msg.nlmsg_len) - sizeof(nlmsghdr);
  }
  if (skip >= body.size()) return outcome;
  ForEachAttribute(body.subspan(skip), [&outcome](const Attribute& a) {
    if (a.type == NLMSGERR_ATTR_MSG) outcome.message = a.Text();
  });
  return outcome;
}

base::Result<std::unique_ptr<RequestSocket>> RequestSocket::Open(
    const std::string& namespace_path) {
  auto fd = OpenSocket(namespace_path, true);
  if (!fd.ok()) return fd.error();
  return Over(std::move(fd).value());
}

std::unique_ptr<RequestSocket> RequestSocket::Over(base::UniqueFd fd) {
  return std::unique_ptr<RequestSocket>(new RequestSocket(std::move(fd)));
}

base::Status RequestSocket::Send(std::span<const uint8_t> bytes) {
  ssize_t sent;
  do {
    sent = ::send(fd_.get(), bytes.data(), bytes.size(), 0);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0)
    return base::SystemError("NETLINK_SEND_FAILED", "send(NETLINK_ROUTE)",
                             "run as root or with CAP_NET_ADMIN");
  return base::Ok();
}

base::Result<std::vector<Outcome>> RequestSocket::Apply(MessageBatch& batch) {
  const std::lock_guard lock(busy_);
  // Unanswered messages are failures, not successes.
  std::vector<Outcome> outcomes(batch.count(),
                                Outcome{ETIMEDOUT, "the kernel did not acknowledge the request"});
  for (size_t first = 0; first < batch.count(); first += kMessagesPerSend) {
    const size_t count = std::min(kMessagesPerSend, batch.count() - first);
    const base::Status status = ApplySlice(batch, first, count, outcomes);
    if (!status.ok()) return status.error();
  }
  return outcomes;
}

base::Status RequestSocket::ApplySlice(MessageBatch& batch, size_t first, size_t count,
                                       std::vector<Outcome>& outcomes) {
  const uint32_t base_sequence = sequence_;
  sequence_ += static_cast<uint32_t>(count);
  for (size_t i = 0; i < count; ++i)
    batch.Header(first + i)->nlmsg_seq = base_sequence + static_cast<uint32_t>(i);
  base::Status sent = Send(batch.Slice(first, count));
  if (!sent.ok()) return sent;
  for (size_t answered = 0; answered < count;) {
    const ssize_t size = ReceiveDatagram(fd_.get(), datagram_);
    if (size < 0)
      return base::SystemError("NETLINK_RECEIVE_FAILED", "recv(NETLINK_ROUTE)",
                               "the kernel's acknowledgements were lost; reconcile again");
    ForEachMessage({datagram_.data(), static_cast<size_t>(size)},
                   [&](const nlmsghdr& header, std::span<const uint8_t> body) {
                     const uint32_t offset = header.nlmsg_seq - base_sequence;
                     if (header.nlmsg_type != NLMSG_ERROR || offset >= count)
                       return;  // Left over from a call that gave up.
                     outcomes[first + offset] = ParseAck(body, header.nlmsg_flags);
                     ++answered;
                   });
  }
  return base::Ok();
}

base::Result<std::vector<Object>> RequestSocket::Read(MessageBatch& request) {
  const std::lock_guard lock(busy_);
  std::vector<Object> objects;
  for (int attempt = 0; attempt < kDumpAttemptsMax; ++attempt) {
    bool interrupted = false;
    objects.clear();
    const base::Status status = ReadOnce(request, objects, &interrupted);
    if (!status.ok()) return status.error();
    if (!interrupted) return objects;
  }
  return base::Error{"NETLINK_DUMP_INTERRUPTED", EINTR, "dump",
                     "the table changed during every attempt to read it; try again"};
}

base::Status RequestSocket::ReadOnce(MessageBatch& request, std::vector<Object>& objects,
                                     bool* interrupted) {
  const uint32_t sequence = sequence_++;
  nlmsghdr* asked = request.Header(0);
  asked->nlmsg_seq = sequence;
  const bool dump = (asked->nlmsg_flags & NLM_F_DUMP) == NLM_F_DUMP;
  base::Status sent = Send(request.Slice(0, 1));
  if (!sent.ok()) return sent;
  bool done = false;
  Outcome outcome;
  while (!done) {
    const ssize_t size = ReceiveDatagram(fd_.get(), datagram_);
    if (size < 0)
      return base::SystemError("NETLINK_RECEIVE_FAILED", "recv(NETLINK_ROUTE)",
                               "the kernel's answer was lost; try again");
    ForEachMessage({datagram_.data(), static_cast<size_t>(size)},
                   [&](const nlmsghdr& header, std::span<const uint8_t> body) {
                     if (header.nlmsg_seq != sequence || done) return;
                     if ((header.nlmsg_flags & NLM_F_DUMP_INTR) != 0) *interrupted = true;
                     if (header.nlmsg_type == NLMSG_ERROR) {
                       outcome = ParseAck(body, header.nlmsg_flags);
                       done = true;
                     } else if (header.nlmsg_type == NLMSG_DONE) {
                       if (body.size() >= sizeof(int32_t)) {
                         int32_t code;
                         std::memcpy(&code, body.data(), sizeof code);
                         outcome.os_error = code < 0 ? -code : 0;
                       }
                       done = true;
                     } else if (auto notice = Decode(header.nlmsg_type, body)) {
                       objects.push_back(std::move(notice->object));
                       done = !dump;  // A look-up answers with one message and no more.
                     } else {
                       done = !dump;
                     }
                   });
  }
  if (outcome.os_error != 0) return Refused(outcome, dump ? "dump" : "get");
  return base::Ok();
}

}  // namespace netlink
