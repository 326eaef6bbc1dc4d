#include "path/flow_key.h"

#include <cstring>

#include "net/ethernet.h"

namespace path {

namespace {

constexpr uint32_t kIp = net::kEthernetBytes;

template <typename Ip>
void PutAddresses(const uint8_t* ip, fwd::FlowKey* key) {
  std::memcpy(key->words.data() + 1, ip + Ip::kSource, Ip::kAddressBytes);
  std::memcpy(key->words.data() + 3, ip + Ip::kSource + Ip::kAddressBytes, Ip::kAddressBytes);
}

}  // namespace

bool ReadFlow(const uint8_t* frame, uint32_t bytes, fwd::FlowKey* key, IpView* view) {
  if (bytes < kIp) return false;
  *key = {};
  *view = {};
  const uint16_t type = base::LoadBe16(frame + net::kEtherType);
  if (type == net::kEtherTypeIpv4 || type == net::kEtherTypeIpv6) {
    const uint8_t* ip = frame + kIp;
    if (ParseIp(ip, bytes - kIp, type, *view) != kPass) return false;
    key->words[0] = uint64_t{view->family} | uint64_t{view->protocol} << 8 | uint64_t{type} << 16 |
                    uint64_t{PortsOf(ip, *view)} << 32;
    if (view->family == 4) {
      PutAddresses<net::Ipv4>(ip, key);
    } else {
      PutAddresses<net::Ipv6>(ip, key);
    }
    return true;
  }
  key->words[0] = uint64_t{type} << 16;
  key->words[1] = net::MacKey(frame + net::kEtherSource);
  key->words[3] = net::MacKey(frame);
  return true;
}

}  // namespace path
