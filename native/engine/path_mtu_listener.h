// Hears what routers say about our outer packets: a packet socket beside the underlay port,
// whatever kind that is, on which only too-big messages arrive. The kernel gets the same messages
// and keeps them for its own path. Lowers paths in the published table, and keeps what it learned
// over table changes. A thread of its own, because messages are rare and workers must not look for
// them; it sleeps until one comes or one expires. Its lock is never taken by a worker.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/result.h"
#include "base/unique_fd.h"
#include "fwd/path_mtus.h"
#include "fwd/publisher.h"

namespace engine {

class PathMtuListener {
 public:
  // Starts to listen. Needs CAP_NET_RAW.
  static base::Result<std::unique_ptr<PathMtuListener>> Open(const std::string& device);
  ~PathMtuListener();
  PathMtuListener(const PathMtuListener&) = delete;
  PathMtuListener& operator=(const PathMtuListener&) = delete;

  // Control thread: every publication goes through here, so that the next table begins with the
  // paths as they are known.
  void Publish(fwd::Publisher& publisher, std::unique_ptr<const fwd::Snapshot> next);

  struct Seen {
    uint64_t heard = 0;          // Too-big messages read.
    uint64_t learned = 0;        // Of these, about our packets, and believed.
    uint32_t paths_lowered = 0;  // Peers whose path is known to be smaller, now.
  };
  Seen seen();

 private:
  PathMtuListener(base::UniqueFd socket, base::UniqueFd stop);
  void Run();
  // False when there is no message.
  bool Hear();

  base::UniqueFd socket_;
  base::UniqueFd stop_;  // eventfd.
  std::mutex mutex_;     // Guards what follows, and the time between Follow and Publish.
  fwd::PathMtus paths_;
  const fwd::Snapshot* table_ = nullptr;  // The newest, which the publisher keeps alive.
  Seen seen_;
  std::thread thread_;
};

}  // namespace engine
