// An underlay port that takes frames from the device, and what belongs to it: UDP sockets that hold
// the port, so that the host neither answers what it gets a copy of nor lets another program have
// it, and the XDP program's state. Owner: a fabric; its worker's thread, except making and ending.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "port/port.h"
#include "port/udp_socket.h"
#include "steer/steering.h"

namespace library {

// Bound, and deaf: the kernel drops what reaches them.
base::Result<std::vector<port::UdpSocket>> HoldPort(const port::UdpAddress& v4,
                                                    const port::UdpAddress& v6, uint16_t port);

// Redirect programs that take every packet to these addresses and this port, whatever its VNI, and
// ask for no heartbeat: no other path waits behind them.
base::Result<std::unique_ptr<steer::Steering>> TakeEveryVni(const port::UdpAddress& v4,
                                                            const port::UdpAddress& v6,
                                                            uint16_t port);

class RawUnderlay final : public port::Port {
 public:
  // `steering`: nullptr when no program of ours takes packets away from the host.
  RawUnderlay(std::vector<port::UdpSocket> held, std::unique_ptr<steer::Steering> steering,
              std::unique_ptr<port::Port> port)
      : held_(std::move(held)), steering_(std::move(steering)), port_(std::move(port)) {}

  const char* kind() const override { return port_->kind(); }
  std::string description() const override { return port_->description(); }
  port::Capabilities capabilities() const override { return port_->capabilities(); }
  uint32_t Receive(pkt::Batch& out, pkt::LaneCounters& counters) override {
    return port_->Receive(out, counters);
  }
  void Transmit(pkt::Batch& batch, pkt::LaneCounters& counters) override {
    port_->Transmit(batch, counters);
  }
  void Flush() override { port_->Flush(); }
  pkt::FramePool* transmit_pool() override { return port_->transmit_pool(); }
  int wait_fd() const override { return port_->wait_fd(); }
  // What XDP passes by (too long, with IP options) ends at the sockets that hold the port.
  port::Statistics statistics() const override;

 private:
  std::vector<port::UdpSocket> held_;
  std::unique_ptr<steer::Steering> steering_;
  std::unique_ptr<port::Port> port_;
};

}  // namespace library
