// Turns a packet from the overlay into the ICMP or ICMPv6 error that answers it, in place. Pure.
// Only local pods and this node are ever answered, at a limited rate; packets from the underlay
// meet silence.
#pragma once

#include <cstdint>

#include "path/parse.h"
#include "pkt/packet.h"

namespace path {

enum class Answer : uint8_t { kTooBig, kUnreachable, kTimeExceeded };

// False for what must not be answered: ICMP errors, fragments but the first, anything not from one
// host to one host.
bool Answerable(const uint8_t* ip, const IpView& view);

// Rewrites the packet (Ethernet header first, IP packet behind it as `view` says). Sender of the
// answer is the packet's own destination, as in the kernel's iptunnel_pmtud_build_icmp: the host
// stack takes one of its own addresses as source for a martian, and the route back to the
// destination satisfies its reverse path filter.
void WriteAnswer(pkt::Packet& packet, const IpView& view, Answer answer, uint32_t mtu);

}  // namespace path
