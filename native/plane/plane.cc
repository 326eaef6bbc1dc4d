#include "plane/plane.h"

#include <time.h>

#include <algorithm>

#include "base/assert.h"
#include "base/clock.h"
#include "base/salt.h"
#include "fwd/snapshot.h"
#include "pkt/lane_layout.h"

namespace plane {

namespace {

using steer::Hook;

// A drain gives up after this long: then something goes on feeding us that steering does not rule.
constexpr uint32_t kDrainMs = 100;
// Longer than a program that saw us alive takes to hand its packet over, and than a worker to wake.
constexpr uint32_t kQuietMs = 3;

}  // namespace

base::Result<std::unique_ptr<Plane>> Plane::Open(const engine::Options& options) {
  std::unique_ptr<Plane> plane(new Plane(options));
  auto devices = FindDevices(options);
  if (!devices.ok()) return devices.error();
  plane->devices_ = *devices;
  fwd::Format& format = plane->options_.format;
  const bool steered = format.encapsulation == fwd::Encapsulation::kVxlan;
  if (steered) {
    auto steering = steer::Steering::Load();
    if (!steering.ok()) return steering.error();
    plane->steering_ = std::move(steering).value();
  }
  auto ports = OpenPorts(options, plane->devices_, plane->steering_.get());
  if (!ports.ok()) return ports.error();
  plane->ports_ = std::move(ports).value();
  format.underlay_mtu =
      static_cast<uint16_t>(std::min<uint32_t>(plane->devices_.underlay_mtu, 65535));
  format.resolve_in_kernel = plane->ports_.resolves_next_hop;
  format.unfilled_checksums = plane->ports_.unfilled_checksums;

  // Without it packets that outgrow a path are lost on the way as they are for any sender that
  // hears no ICMP; everything else works.
  if (auto listener = engine::PathMtuListener::Open(options.underlay_device); listener.ok()) {
    plane->path_mtus_ = std::move(listener).value();
  } else {
    plane->path_mtus_missing_ = listener.error().op + ": " + listener.error().detail;
  }

  engine::WorkerOptions worker;
  worker.busy_poll_us = options.busy_poll_us;
  if (steered) worker.heartbeat_ns = plane->FillSteeringState();
  auto made = engine::Worker::Create(worker, *plane->ports_.overlay, *plane->ports_.underlay,
                                     plane->publisher_);
  if (!made.ok()) return made.error();
  plane->worker_ = std::move(made).value();
  plane->worker_->Start();
  return plane;
}

uint64_t* Plane::FillSteeringState() {
  rs_steer_state& state = steering_->state();
  state.encapsulation = RS_ENCAPSULATION_VXLAN;
  state.vni = options_.format.vni;
  state.udp_port_be = __builtin_bswap16(options_.format.port);
  state.overlay_ifindex = ports_.overlay_tap_ifindex;
  state.underlay_ifindex = ports_.underlay_tap_ifindex;
  state.vxlan_ifindex = devices_.overlay_ifindex;
  const bool two_devices = devices_.overlay_v6_ifindex != 0;
  state.vxlan_v6_ifindex = two_devices ? devices_.overlay_v6_ifindex : devices_.overlay_ifindex;
  state.nic_ifindex = devices_.underlay_ifindex;
  state.flags = ports_.drop_original ? RS_STEER_DROP_ORIGINAL : 0;
  return reinterpret_cast<uint64_t*>(&state.heartbeat[0].ns);
}

Plane::~Plane() { Close(); }

base::Status Plane::Attach() {
  attached_ = true;
  if (steering_ == nullptr) return base::Ok();
  // From the inside out: first what carries our own output, last what brings traffic in.
  steering_->state().workers = 1;
  struct Place {
    Hook hook;
    uint32_t ifindex;
  };
  // An XDP port has attached its own program, before tc.
  const bool underlay_is_xdp = ports_.underlay_tap_ifindex == 0 && !ports_.drop_original;
  const Place places[] = {
      {Hook::kOverlayTap, ports_.overlay_tap_ifindex},
      {Hook::kUnderlayTap, ports_.underlay_tap_ifindex},
      {Hook::kNic, underlay_is_xdp ? 0 : devices_.underlay_ifindex},
      {Hook::kOverlayEgress, devices_.overlay_ifindex},
      {Hook::kOverlayEgress, devices_.overlay_v6_ifindex},
  };
  for (const Place& place : places) {
    if (place.ifindex == 0) continue;
    const steer::Attachment how{!options_.Disabled("tcx"), ports_.second_turn};
    if (auto status = steering_->Attach(place.hook, place.ifindex, how); !status.ok()) {
      steering_->Detach();
      attached_ = false;
      return status;
    }
  }
  return base::Ok();
}

base::Status Plane::Apply(std::span<const uint8_t> table) {
  if (closed_)
    return base::Error{"PLANE_CLOSED", 0, "apply", "the data plane is closed; open a new one"};
  auto snapshot = fwd::Snapshot::Build(table, options_.format, base::RandomSalt());
  if (!snapshot.ok()) return snapshot.error();
  const uint64_t version = snapshot.value()->version();
  const auto peers = static_cast<uint32_t>(snapshot.value()->peers().size());
  peer_keys_.clear();
  for (const fwd::Peer& peer : snapshot.value()->peers())
    peer_keys_.push_back({peer.id, net::MacKey(peer.vtep_mac)});
  if (steering_ != nullptr) steering_->Follow(*snapshot.value());
  if (path_mtus_ != nullptr) {
    path_mtus_->Publish(publisher_, std::move(snapshot).value());
  } else {
    publisher_.Publish(std::move(snapshot).value());
  }
  table_version_ = version;
  peers_ = peers;
  return attached_ ? base::Ok() : Attach();
}

const std::vector<std::string>& Plane::CounterNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    pkt::AppendLaneNames("encap", &all);
    pkt::AppendLaneNames("decap", &all);
    pkt::AppendLaneNames("answer", &all);
    return all;
  }();
  return names;
}

void Plane::ReadCounters(std::span<uint64_t> into) const {
  RS_ASSERT(into.size() == CounterNames().size());
  if (worker_ == nullptr) {
    std::fill(into.begin(), into.end(), 0);
    return;
  }
  uint64_t* at = into.data();
  at = pkt::AppendLane(worker_->encap().counters(), at);
  at = pkt::AppendLane(worker_->decap().counters(), at);
  pkt::AppendLane(worker_->encap().answers(), at);
}

Inspection Plane::Inspect() const {
  Inspection seen{};
  seen.running = !closed_ && attached_ && worker_->alive();
  seen.table_version = table_version_;
  seen.peers = peers_;
  seen.steering = steering_ != nullptr ? steering_->method() : "none";
  seen.path_mtu_listener = path_mtus_ != nullptr ? "on" : closed_ ? "closed" : path_mtus_missing_;
  if (closed_) return seen;
  seen.ports.push_back({"overlay", ports_.overlay->kind(), ports_.overlay->description(),
                        ports_.overlay_reason, ports_.overlay->statistics().rx_kernel_drops});
  seen.ports.push_back({"underlay", ports_.underlay->kind(), ports_.underlay->description(),
                        ports_.underlay_reason, ports_.underlay->statistics().rx_kernel_drops});
  seen.heartbeat_age_ms = static_cast<double>(base::MonotonicNs() - worker_->heartbeat_ns()) / 1e6;
  seen.frames_total = worker_->frames_total();
  seen.frames_free = worker_->frames_free();
  if (path_mtus_ != nullptr) seen.path_mtu = path_mtus_->seen();
  return seen;
}

std::vector<Plane::PeerTotals> Plane::ReadPeers() const {
  std::vector<PeerTotals> all;
  if (worker_ == nullptr) return all;
  all.reserve(peer_keys_.size());
  for (const PeerKey& peer : peer_keys_) {
    all.push_back({peer.id, worker_->encap().traffic().Read(peer.id, peer.mac_key),
                   worker_->decap().traffic().Read(peer.id, peer.mac_key)});
  }
  return all;
}

base::Status Plane::CaptureStart(capture::Request request) {
  if (closed_)
    return base::Error{"PLANE_CLOSED", 0, "captureStart",
                       "the data plane is closed; open a new one"};
  worker_->tap().Start(std::make_unique<capture::Session>(std::move(request), 0));
  return base::Ok();
}

Plane::Captured Plane::CaptureRead(std::span<uint8_t> into) {
  capture::Session* session = worker_ != nullptr ? worker_->tap().running() : nullptr;
  if (session == nullptr) return {0, 0, 0};
  const uint32_t bytes = session->Read(into);
  return {bytes, session->matched(), session->lost()};
}

void Plane::CaptureStop() {
  if (worker_ != nullptr) worker_->tap().Stop();
}

uint64_t Plane::FramesReceived() const {
  return worker_->encap().counters().rx_frames.Read() +
         worker_->decap().counters().rx_frames.Read();
}

// What the ports hold when steering lets go still goes its way: nothing new comes in, so this ends
// soon, and the programs behind our devices stay until it has.
void Plane::Drain() {
  if (worker_ == nullptr || !attached_) return;
  uint64_t before = FramesReceived();
  uint32_t quiet = 0;
  for (uint32_t waited = 0; waited < kDrainMs && quiet < kQuietMs; ++waited) {
    const timespec millisecond{0, 1'000'000};
    nanosleep(&millisecond, nullptr);
    const uint64_t now = FramesReceived();
    quiet = now == before && ports_.underlay->statistics().tx_pending == 0 ? quiet + 1 : 0;
    before = now;
  }
}

void Plane::Close() {
  if (closed_) return;
  closed_ = true;
  if (steering_ != nullptr) {
    steering_->Release();
    Drain();
  }
  path_mtus_.reset();
  if (worker_ != nullptr) worker_->Stop();
  if (steering_ != nullptr) steering_->Detach();
  ports_.overlay.reset();
  ports_.underlay.reset();
}

}  // namespace plane
