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

// A round of a worker takes far less, unless something keeps it from the CPU.
constexpr int kSettleTries = 1000;
constexpr long kSettlePauseNs = 100'000;

void Pause(long nanoseconds) {
  const timespec time{0, nanoseconds};
  nanosleep(&time, nullptr);
}

// What passed one port, as the lanes at its ends counted it.
#define RS_PORT_COUNTERS(X)   \
  X(rx_packets, "rx_packets") \
  X(rx_bytes, "rx_bytes")     \
  X(rx_frames, "rx_frames")   \
  X(tx_packets, "tx_packets") X(tx_bytes, "tx_bytes") X(tx_frames, "tx_frames")
struct PortCounts {
#define X(member, name) uint64_t member = 0;
  RS_PORT_COUNTERS(X)
#undef X
  void AddReceived(const pkt::LaneCounters& lane) {
    rx_packets += lane.rx_packets.Read();
    rx_bytes += lane.rx_bytes.Read();
    rx_frames += lane.rx_frames.Read();
  }
  void AddSent(const pkt::LaneCounters& lane) {
    tx_packets += lane.tx_packets.Read();
    tx_bytes += lane.tx_bytes.Read();
    tx_frames += lane.tx_frames.Read();
  }
};

// In the order of CounterNames; returns where the next value goes.
uint64_t* AppendWorker(const engine::Worker& worker, uint64_t* at) {
  const pkt::LaneCounters &encap = worker.encap().counters(), &decap = worker.decap().counters(),
                          &answer = worker.encap().answers();
  for (const pkt::LaneCounters* lane : {&encap, &decap, &answer}) at = pkt::AppendLane(*lane, at);
  PortCounts overlay, underlay;
  overlay.AddReceived(encap);
  overlay.AddSent(decap);
  overlay.AddSent(answer);
  underlay.AddReceived(decap);
  underlay.AddSent(encap);
  for (const PortCounts* side : {&overlay, &underlay}) {
#define X(member, name) *at++ = side->member;
    RS_PORT_COUNTERS(X)
#undef X
  }
  return at;
}

PortInspection InspectPorts(const char* side, const std::vector<std::unique_ptr<port::Port>>& ports,
                            const std::string& reason) {
  PortInspection seen{side, ports[0]->kind(), ports[0]->description(), reason, 0};
  if (ports.size() > 1)
    seen.description += "; the first of " + std::to_string(ports.size()) + ", one a worker";
  for (const auto& port : ports) seen.rx_kernel_drops += port->statistics().rx_kernel_drops;
  return seen;
}

WorkerPort InspectPort(const char* side, const port::Port& port) {
  return {side, port.kind(), port.statistics(), port.queues()};
}

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

  if (steered) plane->FillSteeringState();
  if (auto status = plane->MakeWorkers(); !status.ok()) return status.error();
  // Without steering, packets come at once; they wait in the ports until there is a table.
  if (steered) {
    if (auto status = plane->StartWorkers(); !status.ok()) return status.error();
  }
  return plane;
}

base::Status Plane::MakeWorkers() {
  for (uint32_t i = 0; i < options_.workers; ++i) {
    engine::WorkerOptions worker;
    worker.index = i;
    worker.workers = options_.workers;
    worker.busy_poll_us = options_.busy_poll_us;
    if (!options_.cpus.empty())
      worker.cpu = static_cast<int>(options_.cpus[i % options_.cpus.size()]);
    if (steering_ != nullptr)
      worker.heartbeat_ns = reinterpret_cast<uint64_t*>(&steering_->state().heartbeat[i].ns);
    auto made = engine::Worker::Create(worker, *ports_.overlay[i], *ports_.underlay[i], publisher_);
    if (!made.ok()) return made.error();
    workers_.push_back(std::move(made).value());
  }
  return base::Ok();
}

base::Status Plane::StartWorkers() {
  for (const auto& worker : workers_) {
    if (auto status = worker->Start(); !status.ok()) return status;
  }
  return base::Ok();
}

// From a data plane of the udp format that shares device and port with us; what it has by now it
// still carries.
base::Status Plane::TakeOver() {
  if (ports_.joined_tun != nullptr) {
    if (auto status = ports_.joined_tun->TakeOver(); !status.ok()) return status;
  }
  return ports_.joined_udp != nullptr ? ports_.joined_udp->TakeOver() : base::Ok();
}

void Plane::FillSteeringState() {
  rs_steer_state& state = steering_->state();
  state.encapsulation = RS_ENCAPSULATION_VXLAN;
  state.vni = options_.format.vni;
  state.udp_port_be = __builtin_bswap16(options_.format.port);
  state.overlay_ifindex = ports_.overlay_ifindex;
  state.underlay_ifindex = ports_.underlay_tap_ifindex;
  state.vxlan_ifindex = devices_.overlay_ifindex;
  const bool two_devices = devices_.overlay_v6_ifindex != 0;
  state.vxlan_v6_ifindex = two_devices ? devices_.overlay_v6_ifindex : devices_.overlay_ifindex;
  state.nic_ifindex = devices_.underlay_ifindex;
  state.flags = ports_.drop_original ? RS_STEER_DROP_ORIGINAL : 0;
}

Plane::~Plane() { Close(); }

base::Status Plane::Attach() {
  attached_ = true;
  if (steering_ == nullptr) {
    if (auto status = StartWorkers(); !status.ok()) return status;
    return TakeOver();
  }
  // From the inside out: first what carries our own output, last what brings traffic in.
  struct Place {
    Hook hook;
    uint32_t ifindex;
  };
  // An XDP port has attached its own program, before tc.
  const bool underlay_is_xdp = ports_.underlay_tap_ifindex == 0 && !ports_.drop_original;
  const Place places[] = {
      {Hook::kOverlayTap, ports_.overlay_ifindex},
      {Hook::kUnderlayTap, ports_.underlay_tap_ifindex},
      {Hook::kNicEgress, devices_.underlay_ifindex},
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
  // The switch: until now every program passed packets on, and a packet socket got no copy.
  steering_->state().workers = options_.workers;
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
  if (attached_) return base::Ok();
  // A worker that looked while there was no table would drop the first packets that the programs
  // bring. One that answers to nobody must not keep us for ever.
  for (int tries = 0; tries < kSettleTries && !publisher_.Settled(); ++tries) Pause(kSettlePauseNs);
  return Attach();
}

const std::vector<std::string>& Plane::CounterNames() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> all;
    pkt::AppendLaneNames("encap", &all);
    pkt::AppendLaneNames("decap", &all);
    pkt::AppendLaneNames("answer", &all);
    for (const char* side : {"overlay.", "underlay."}) {
#define X(member, name) all.push_back(std::string(side) + (name));
      RS_PORT_COUNTERS(X)
#undef X
    }
    return all;
  }();
  return names;
}

void Plane::ReadCounters(std::span<uint64_t> into) const {
  const size_t names = CounterNames().size();
  const bool each = into.size() == names * (1 + options_.workers);
  RS_ASSERT(each || into.size() == names);
  std::fill(into.begin(), into.end(), 0);
  for (size_t i = 0; i < workers_.size(); ++i) {
    AppendWorker(*workers_[i], scratch_.data());
    if (i == 0) AddRefused(scratch_.data());
    for (size_t name = 0; name < names; ++name) into[name] += scratch_[name];
    if (each) std::copy_n(scratch_.begin(), names, into.begin() + (1 + i) * names);
  }
}

// What the steering refused on its way past the overlay counts as received and dropped, once for
// all workers.
void Plane::AddRefused(uint64_t* encap) const {
  if (steering_ == nullptr) return;
  const uint64_t refused = steering_->refused();
  encap[pkt::kRxPacketsAt] += refused;
  encap[pkt::DropAt(pkt::DropReason::kPodTunnel)] += refused;
}

Inspection Plane::Inspect() const {
  Inspection seen{};
  seen.running = !closed_ && attached_ &&
                 std::all_of(workers_.begin(), workers_.end(),
                             [](const auto& worker) { return worker->alive(); });
  seen.table_version = table_version_;
  seen.peers = peers_;
  seen.steering = steering_ != nullptr ? steering_->method() : "none";
  seen.path_mtu_listener = path_mtus_ != nullptr ? "on" : closed_ ? "closed" : path_mtus_missing_;
  if (closed_) return seen;
  seen.workers = options_.workers;
  seen.ports.push_back(InspectPorts("overlay", ports_.overlay, ports_.overlay_reason));
  seen.ports.push_back(InspectPorts("underlay", ports_.underlay, ports_.underlay_reason));
  // A beat may be ahead of the clock that is read here.
  const uint64_t now = base::MonotonicNs();
  const auto age_ms = [now](uint64_t beat) {
    return static_cast<double>(now > beat ? now - beat : 0) / 1e6;
  };
  for (size_t i = 0; i < workers_.size(); ++i) {
    const engine::Worker& worker = *workers_[i];
    seen.per_worker.push_back({age_ms(worker.heartbeat_ns()),
                               worker.frames_total(),
                               worker.frames_free(),
                               {InspectPort("overlay", *ports_.overlay[i]),
                                InspectPort("underlay", *ports_.underlay[i])}});
    const WorkerInspection& one = seen.per_worker.back();
    seen.heartbeat_age_ms = std::max(seen.heartbeat_age_ms, one.heartbeat_age_ms);
    seen.frames_total += one.frames_total;
    seen.frames_free += one.frames_free;
  }
  if (path_mtus_ != nullptr) seen.path_mtu = path_mtus_->seen();
  return seen;
}

std::vector<Plane::PeerTotals> Plane::ReadPeers() const {
  std::vector<PeerTotals> all;
  all.reserve(peer_keys_.size());
  for (const PeerKey& peer : peer_keys_) {
    PeerTotals totals{peer.id, {}, {}};
    for (const auto& worker : workers_) {
      totals.sent += worker->encap().traffic().Read(peer.id, peer.mac_key);
      totals.received += worker->decap().traffic().Read(peer.id, peer.mac_key);
    }
    all.push_back(totals);
  }
  return all;
}

base::Status Plane::CaptureStart(const capture::Request& request) {
  if (closed_)
    return base::Error{"PLANE_CLOSED", 0, "captureStart",
                       "the data plane is closed; open a new one"};
  for (uint32_t i = 0; i < options_.workers; ++i) {
    capture::Request each = request;
    workers_[i]->tap().Start(
        std::make_unique<capture::Session>(std::move(each), static_cast<uint8_t>(i)));
  }
  return base::Ok();
}

Plane::Captured Plane::CaptureRead(std::span<uint8_t> into) {
  Captured all{0, 0, 0};
  for (const auto& worker : workers_) {
    capture::Session* session = worker->tap().running();
    if (session == nullptr) continue;
    all.bytes += session->Read(into.subspan(all.bytes));
    all.matched += session->matched();
    all.lost += session->lost();
  }
  return all;
}

void Plane::CaptureStop() {
  for (const auto& worker : workers_) worker->tap().Stop();
}

uint64_t Plane::FramesReceived() const {
  uint64_t frames = 0;
  for (const auto& worker : workers_) {
    frames +=
        worker->encap().counters().rx_frames.Read() + worker->decap().counters().rx_frames.Read();
  }
  return frames;
}

uint64_t Plane::FramesPending() const {
  uint64_t frames = 0;
  for (const auto& port : ports_.underlay) frames += port->statistics().tx_pending;
  return frames;
}

// What the ports hold when steering lets go still goes its way: nothing new comes in, so this ends
// soon, and the programs behind our devices stay until it has.
void Plane::Drain() {
  if (workers_.empty() || !attached_) return;
  uint64_t before = FramesReceived();
  uint32_t quiet = 0;
  for (uint32_t waited = 0; waited < kDrainMs && quiet < kQuietMs; ++waited) {
    Pause(1'000'000);
    const uint64_t now = FramesReceived();
    quiet = now == before && FramesPending() == 0 ? quiet + 1 : 0;
    before = now;
  }
}

void Plane::Close() {
  if (closed_) return;
  closed_ = true;
  if (steering_ != nullptr) steering_->Release();
  Drain();
  path_mtus_.reset();
  for (const auto& worker : workers_) worker->Stop();
  if (steering_ != nullptr) steering_->Detach();
  ports_.overlay.clear();
  ports_.underlay.clear();
  ports_.overlay_pair.reset();
}

}  // namespace plane
