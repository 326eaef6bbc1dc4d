// Cuts one packet; all frames are sure before the first is taken. Thread: a worker.
#include "path/fragment.h"

#include <algorithm>
#include <cstring>

#include "base/assert.h"
#include "net/ethernet.h"
#include "net/ipv4.h"
#include "path/segment.h"

namespace path {

namespace {

using net::Ipv4;
using pkt::Packet;

// Later fragments carry only the options marked for copying; the others become no-operations, which
// keeps every header the same length.
void BlankUncopiedOptions(uint8_t* ip) {
  constexpr uint8_t kEnd = 0, kNoOperation = 1, kCopied = 0x80;
  const uint32_t end = Ipv4::HeaderBytes(ip);
  for (uint32_t at = Ipv4::kHeaderBytes; at < end && ip[at] != kEnd;) {
    const uint32_t length = ip[at] == kNoOperation ? 1 : at + 1 < end ? ip[at + 1] : 0;
    if (length == 0 || at + length > end) return;  // Malformed; the receiver judges it as it was.
    if ((ip[at] & kCopied) == 0) std::memset(ip + at, kNoOperation, length);
    at += length;
  }
}

}  // namespace

void Fragment(Packet* packet, const IpView& view, uint32_t mtu, pkt::FramePool& pool,
              pkt::Outbox& out, pkt::LaneCounters& counters) {
  RS_ASSERT(view.family == 4 && packet->gso == pkt::Gso::kNone);
  FillChecksum(packet);
  const uint8_t* ip = packet->data + net::kEthernetBytes;
  const uint32_t header = Ipv4::HeaderBytes(ip), payload = view.bytes - header;
  const uint32_t step = mtu > header ? (mtu - header) & ~7u : 0;  // Offsets count units of 8 bytes.
  const uint32_t count = step == 0 ? 0 : (payload + step - 1) / step;
  const bool fits = pkt::kHeadroomBytes + net::kEthernetBytes + header + step <= pool.frame_bytes();
  if (count == 0 || !fits || pool.available() < count) {
    counters.Drop(pkt::DropReason::kNoFrame, 1);
    return pkt::Give(packet);
  }
  counters.rx_packets.Add(count - 1);
  const uint16_t field = base::LoadBe16(ip + Ipv4::kFragment);
  for (uint32_t offset = 0; offset < payload; offset += step) {
    const uint32_t bytes = std::min(step, payload - offset);
    Packet* piece = pool.Take();
    std::memcpy(piece->data, packet->data, net::kEthernetBytes + header);
    std::memcpy(piece->data + net::kEthernetBytes + header, ip + header + offset, bytes);
    piece->len = net::kEthernetBytes + header + bytes;
    uint8_t* to = piece->data + net::kEthernetBytes;
    const bool more = offset + bytes < payload || (field & Ipv4::kMoreFragments) != 0;
    const uint32_t position = (field & Ipv4::kFragmentOffsetMask) + offset / 8;
    base::StoreBe16(to + Ipv4::kFragment,
                    static_cast<uint16_t>(position | (more ? Ipv4::kMoreFragments : 0)));
    base::StoreBe16(to + 2, static_cast<uint16_t>(header + bytes));
    if (offset != 0) BlankUncopiedOptions(to);
    Ipv4::FillHeaderChecksum(to);
    out.Push(piece);
  }
  pkt::Give(packet);
}

}  // namespace path
