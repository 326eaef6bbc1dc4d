// Building and reading netlink messages: headers, attributes, nests. Pure; every length that comes
// from outside is checked.
#pragma once

#include <linux/netlink.h>

#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace netlink {

// One or more complete messages in one buffer. Sequence numbers are the sender's business
// (request_socket.cc).
class MessageBatch {
 public:
  template <typename FamilyHeader>
  void Begin(uint16_t type, uint16_t flags, const FamilyHeader& header) {
    starts_.push_back(bytes_.size());
    nlmsghdr message{};
    message.nlmsg_type = type;
    message.nlmsg_flags = static_cast<uint16_t>(flags | NLM_F_REQUEST);
    Append(&message, sizeof message);
    Append(&header, sizeof header);
  }
  // Patches the length of the message begun last.
  void End();

  void Bytes(uint16_t type, std::span<const uint8_t> data);
  void U8(uint16_t type, uint8_t value) { Scalar(type, value); }
  void U16(uint16_t type, uint16_t value) { Scalar(type, value); }
  void U32(uint16_t type, uint32_t value) { Scalar(type, value); }
  void Text(uint16_t type, std::string_view text);  // With the final zero.
  size_t BeginNest(uint16_t type);
  // Bare, at the start of a nest that wants one before its attributes.
  template <typename FamilyHeader>
  void Struct(const FamilyHeader& header) {
    Append(&header, sizeof header);
  }
  void EndNest(size_t nest);

  size_t count() const { return starts_.size(); }
  // Messages [first, first + count) as one contiguous piece; it may be written to (sequence
  // numbers).
  std::span<uint8_t> Slice(size_t first, size_t count);
  nlmsghdr* Header(size_t index) {
    return reinterpret_cast<nlmsghdr*>(bytes_.data() + starts_[index]);
  }

 private:
  template <typename T>
  void Scalar(uint16_t type, T value) {
    Bytes(type, {reinterpret_cast<const uint8_t*>(&value), sizeof value});
  }
  void Append(const void* data, size_t size);

  std::vector<uint8_t> bytes_;
  std::vector<size_t> starts_;
};

struct Attribute {
  uint16_t type = 0;  // Without NLA_F_NESTED and NLA_F_NET_BYTEORDER.
  std::span<const uint8_t> data;

  // Zero where the attribute is shorter than asked for: a kernel that answers so is treated as not
  // answering.
  template <typename T>
  T As() const {
    T value{};
    if (data.size() >= sizeof value) std::memcpy(&value, data.data(), sizeof value);
    return value;
  }
  std::string Text() const;
};

// Calls visit(Attribute) for each whole attribute; stops at the first that lies about its length.
template <typename Visit>
void ForEachAttribute(std::span<const uint8_t> bytes, Visit visit) {
  while (bytes.size() >= NLA_HDRLEN) {
    nlattr header;
    std::memcpy(&header, bytes.data(), sizeof header);
    if (header.nla_len < NLA_HDRLEN || header.nla_len > bytes.size()) return;
    visit(Attribute{static_cast<uint16_t>(header.nla_type & NLA_TYPE_MASK),
                    bytes.subspan(NLA_HDRLEN, header.nla_len - NLA_HDRLEN)});
    const size_t step = NLA_ALIGN(header.nla_len);
    if (step >= bytes.size()) return;
    bytes = bytes.subspan(step);
  }
}

// A message's body after its family header; nullopt when it is shorter than that header.
template <typename FamilyHeader>
std::optional<std::span<const uint8_t>> SplitBody(std::span<const uint8_t> body,
                                                  FamilyHeader* header) {
  if (body.size() < sizeof *header) return std::nullopt;
  std::memcpy(header, body.data(), sizeof *header);
  return body.subspan(std::min(body.size(), static_cast<size_t>(NLMSG_ALIGN(sizeof *header))));
}

}  // namespace netlink
