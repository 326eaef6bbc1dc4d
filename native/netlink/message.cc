#include "netlink/message.h"

#include "base/assert.h"

namespace netlink {

void MessageBatch::Append(const void* data, size_t size) {
  const auto* from = static_cast<const uint8_t*>(data);
  bytes_.insert(bytes_.end(), from, from + size);
  bytes_.resize(NLMSG_ALIGN(bytes_.size()));
}

void MessageBatch::End() {
  RS_ASSERT(!starts_.empty());
  Header(starts_.size() - 1)->nlmsg_len = static_cast<uint32_t>(bytes_.size() - starts_.back());
}

void MessageBatch::Bytes(uint16_t type, std::span<const uint8_t> data) {
  nlattr header{};
  header.nla_len = static_cast<uint16_t>(NLA_HDRLEN + data.size());
  header.nla_type = type;
  Append(&header, sizeof header);
  Append(data.data(), data.size());
}

void MessageBatch::Text(uint16_t type, std::string_view text) {
  const std::string terminated(text);
  Bytes(type, {reinterpret_cast<const uint8_t*>(terminated.c_str()), terminated.size() + 1});
}

size_t MessageBatch::BeginNest(uint16_t type) {
  const size_t nest = bytes_.size();
  Bytes(static_cast<uint16_t>(type | NLA_F_NESTED), {});
  return nest;
}

void MessageBatch::EndNest(size_t nest) {
  const auto length = static_cast<uint16_t>(bytes_.size() - nest);
  std::memcpy(bytes_.data() + nest, &length, sizeof length);
}

std::span<uint8_t> MessageBatch::Slice(size_t first, size_t count) {
  RS_ASSERT(first + count <= starts_.size());
  const size_t from = starts_[first];
  const size_t to = first + count == starts_.size() ? bytes_.size() : starts_[first + count];
  return {bytes_.data() + from, to - from};
}

std::string Attribute::Text() const {
  const auto* begin = reinterpret_cast<const char*>(data.data());
  return {begin, strnlen(begin, data.size())};
}

}  // namespace netlink
