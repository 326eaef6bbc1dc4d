// A port: where frames enter and leave a worker, in batches. Implementations: tap, xdp, packet,
// udp, tun, memory, pcap. Owner: the engine. Thread: Receive, Transmit and Flush run on the owning
// worker only. No port allocates after it is open, blocks, logs or throws. Ownership: Receive gives
// the caller packets from the port's own pool; Transmit takes every packet of the batch, whatever
// pool it came from, and gives each back when it is done with it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "pkt/batch.h"
#include "pkt/counters.h"
#include "pkt/frame_pool.h"

namespace port {

// What Transmit accepts; the lane segments packets and fills checksums before a port that cannot
// take them.
struct Capabilities {
  bool super_packets = false;         // Plain TCP super-packets (gso != kNone, inner_offset == 0).
  bool udp_super_packets = false;     // UDP ones among them; devices take them since Linux 6.2.
  bool tunnel_super_packets = false;  // Encapsulated ones (inner_offset != 0), segmented after us.
  bool partial_checksum = false;      // Checksum::kPartial on plain packets.
  // Checksum::kPartial that points into the inner packet of an encapsulated one.
  bool tunnel_partial_checksum = false;
  // Longest single frame (Ethernet header included) when it is no super-packet.
  uint32_t frame_bytes_max = 0;
};

// Beyond the lane's own counters: what the device did. Read by inspect(), from any thread.
struct Statistics {
  uint64_t rx_kernel_drops = 0;  // Frames the kernel dropped before we could read them (ring full).
  uint64_t tx_pending = 0;       // Frames handed to the kernel and not completed.
};

// The rings that a port shares with the kernel for one queue of a device, at this moment.
struct QueueState {
  std::string device;
  uint32_t id = 0;
  const char* mode = "";    // As in the port's description.
  uint32_t ring_size = 0;   // Of each ring.
  uint32_t rx_waiting = 0;  // Frames received and not yet read.
  uint32_t rx_free = 0;     // Frames that the kernel can still receive into.
  uint32_t tx_waiting = 0;  // Frames that the kernel has not taken yet.
};

// Which of the ports on one device this is, when several workers share it: each has a port of its
// own, and the kernel spreads flows over them.
struct Share {
  uint32_t index = 0;
  uint32_t count = 1;
};

class Port {
 public:
  virtual ~Port() = default;

  virtual const char* kind() const = 0;         // "tap", "xdp", ...
  virtual std::string description() const = 0;  // What was opened and in which mode, for status.
  virtual Capabilities capabilities() const = 0;

  // Appends up to out.room() packets; returns how many. 0 means: nothing to read now. A received
  // frame that cannot be handed over (truncated, no frame left) is counted in `counters` as
  // received and dropped.
  virtual uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) = 0;

  // Sends and empties the batch. Counts tx_* in `counters` for what was accepted, a drop reason for
  // the rest.
  virtual void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) = 0;

  // Called once after each round of the worker: kick the kernel, reap completions.
  virtual void Flush() {}

  // Frames from which Transmit needs no copy of its own (an XDP port's umem): whoever makes packets
  // for this port takes them here. nullptr: any pool is as good.
  virtual pkt::FramePool* transmit_pool() { return nullptr; }

  // A descriptor that polls readable when Receive has work; -1 when the port must be polled by
  // calling Receive.
  virtual int wait_fd() const = 0;

  virtual Statistics statistics() const { return {}; }
  // Empty for a port that shares no rings. Allocates; read by inspect(), from any thread.
  virtual std::vector<QueueState> queues() const { return {}; }
};

}  // namespace port
