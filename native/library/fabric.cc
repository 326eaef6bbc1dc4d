// A round: 1. sort one underlay burst by VNI  2. each network both ways  3. flush  4. nothing came:
// sleep.
#include "library/fabric.h"

#include <poll.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <iterator>

#include "base/clock.h"

namespace library {

namespace {

constexpr int kSleepMs = 1000;  // The heartbeat of an idle fabric.

}  // namespace

base::Result<std::unique_ptr<Fabric>> Fabric::Create(OpenedPort underlay, bool resolves) {
  base::UniqueFd wake(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC));
  if (!wake.valid())
    return base::SystemError("WORKER_START_FAILED", "eventfd",
                             "raise the open-files limit (ulimit -n)");
  std::unique_ptr<Fabric> fabric(new Fabric(std::move(underlay), resolves, std::move(wake)));
  fabric->Start();
  return fabric;
}

Fabric::Fabric(OpenedPort underlay, bool resolves, base::UniqueFd wake)
    : underlay_(std::move(underlay.port)),
      resolves_(resolves),
      demux_(*underlay_),
      wake_(std::move(wake)) {}

Fabric::~Fabric() { Stop(); }

void Fabric::Start() {
  beat_ns_.store(base::MonotonicNs(), std::memory_order_relaxed);
  stopping_.store(false, std::memory_order_release);
  thread_ = std::thread([this] { Loop(); });
}

void Fabric::Stop() {
  if (!thread_.joinable()) return;
  stopping_.store(true, std::memory_order_release);
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t n = write(wake_.get(), &one, sizeof one);
  thread_.join();
  uint64_t events;
  [[maybe_unused]] const ssize_t m = read(wake_.get(), &events, sizeof events);
}

base::Result<Network*> Fabric::Add(const NetworkOptions& options, OpenedPort overlay,
                                   OpenedPort punts) {
  for (const auto& network : networks_) {
    if (network->options().format.vni == options.format.vni) {
      return base::Error{"NETWORK_VNI_TAKEN", 0, "open",
                         "VNI " + std::to_string(options.format.vni) +
                             " is in use on this underlay; close that overlay or choose another"};
    }
  }
  NetworkOptions all = options;
  all.format.resolve_in_kernel = resolves_;
  auto made = Network::Create(all, std::move(overlay), std::move(punts), *underlay_);
  if (!made.ok()) return made.error();
  Stop();
  networks_.push_back(std::move(made).value());
  demux_.Attach(&networks_.back()->share());
  Start();
  return networks_.back().get();
}

void Fabric::Remove(Network* network) {
  Stop();
  demux_.Detach(&network->share());
  std::erase_if(networks_, [network](const auto& one) { return one.get() == network; });
  Start();
}

std::vector<fwd::Fdb::Entry> Fabric::ReadFdb(const Network& network) {
  std::vector<fwd::Fdb::Entry> entries;
  Stop();
  network.fdb().ForEach(base::MonotonicNs(),
                        [&entries](const fwd::Fdb::Entry& entry) { entries.push_back(entry); });
  Start();
  return entries;
}

double Fabric::heartbeat_age_ms() const {
  const uint64_t beat = beat_ns_.load(std::memory_order_relaxed);
  const uint64_t now = base::MonotonicNs();
  return now > beat ? static_cast<double>(now - beat) / 1e6 : 0;
}

void Fabric::Loop() {
  pthread_setname_np(pthread_self(), "ripstop-fabric");
  while (!stopping_.load(std::memory_order_acquire)) {
    const uint64_t now = base::MonotonicNs();
    beat_ns_.store(now, std::memory_order_relaxed);
    uint32_t moved = demux_.Pull();
    for (const auto& network : networks_) moved += network->Run(now);
    underlay_->Flush();
    if (moved == 0) Sleep();
  }
  for (const auto& network : networks_) network->Leave();
}

void Fabric::Sleep() {
  constexpr size_t kNetworksMax = 64;  // More are polled for.
  pollfd fds[2 + 2 * kNetworksMax];
  nfds_t count = 0;
  fds[count++] = {wake_.get(), POLLIN, 0};
  fds[count++] = {underlay_->wait_fd(), POLLIN, 0};
  for (const auto& network : networks_) {
    network->Leave();
    if (count == std::size(fds)) continue;
    fds[count++] = {network->overlay().wait_fd(), POLLIN, 0};
    fds[count++] = {network->punts_wait_fd(), POLLIN, 0};  // -1 is ignored.
  }
  poll(fds, count, networks_.size() > kNetworksMax ? 1 : kSleepMs);
}

}  // namespace library
