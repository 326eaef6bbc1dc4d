// Two data planes on one TUN device and one UDP port, of which only one is given anything: how a
// successor of the udp format opens beside its predecessor, and takes over at one moment. The
// kernel numbers queues and sockets in the order in which they came, and gives the last the number
// of one that goes. Control thread only.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace port {

enum class Turn : uint32_t { kPredecessor = 0, kSuccessor = 1 };

// Packets that the host sends into the device go to this one's queue. Linux >= 4.16, CAP_BPF. A
// number that is none any more means the queue that is left.
base::Status GiveDeviceTo(Turn turn, int tun_fd);
// Datagrams that come to the address and port go to this one's socket; a number that is none any
// more means any.
base::Status GivePortTo(Turn turn, int socket_fd);

}  // namespace port
