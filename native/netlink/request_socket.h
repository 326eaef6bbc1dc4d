// Requests to the kernel's rtnetlink: batches with one outcome per message, dumps and single
// look-ups. Blocking; called from worker threads, one call at a time (an internal mutex keeps it
// so). Never used on the packet path.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/unique_fd.h"
#include "netlink/objects.h"

namespace netlink {

// Messages in one send. More does not help (adding a route is kernel-bound); acks of this many fit
// any receive buffer.
inline constexpr size_t kMessagesPerSend = 128;
// A dump that the kernel marks as interrupted is repeated this often before the caller is told.
inline constexpr int kDumpAttemptsMax = 8;

struct Outcome {
  int os_error = 0;     // Positive errno; 0: done.
  std::string message;  // The kernel's extended-ack text, where it gave one.
};

class RequestSocket {
 public:
  static base::Result<std::unique_ptr<RequestSocket>> Open(const std::string& namespace_path);
  // Over a socket that keeps the borders of messages and has rtnetlink at its other end.
  static std::unique_ptr<RequestSocket> Over(base::UniqueFd fd);

  // One outcome per message, in order. Fails as a whole only if the socket itself does.
  base::Result<std::vector<Outcome>> Apply(MessageBatch& batch);
  // Sends one dump or get request and collects the objects it answers.
  base::Result<std::vector<Object>> Read(MessageBatch& request);

  RequestSocket(const RequestSocket&) = delete;
  RequestSocket& operator=(const RequestSocket&) = delete;

 private:
  explicit RequestSocket(base::UniqueFd fd) : fd_(std::move(fd)) {}
  base::Status Send(std::span<const uint8_t> bytes);
  base::Status ApplySlice(MessageBatch& batch, size_t first, size_t count,
                          std::vector<Outcome>& outcomes);
  base::Status ReadOnce(MessageBatch& request, std::vector<Object>& objects, bool* interrupted);

  std::mutex busy_;
  base::UniqueFd fd_;
  uint32_t sequence_ = 1;
  std::vector<uint8_t> datagram_;
};

// The error number and text of an NLMSG_ERROR body (acks included).
Outcome ParseAck(std::span<const uint8_t> body, uint16_t flags);

}  // namespace netlink
