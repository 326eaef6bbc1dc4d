// tcp_check send|sink: one TCP stream of a pattern that depends on the offset; the sink compares
// every byte and says at which offset the first wrong one stood. For correctness, not for speed.
// Prints JSON.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <vector>

#include "base/clock.h"
#include "base/unique_fd.h"
#include "tools/load_packet.h"
#include "tools/socket_address.h"

namespace tools {
namespace {

constexpr uint32_t kChunk = 256 << 10;
constexpr uint64_t kSeed = 0x5eed;

void FillStream(uint8_t* out, uint32_t size, uint64_t offset) {
  for (uint32_t at = 0; at < size; at += 8) {
    const uint64_t word = Mix(kSeed ^ (offset + at));
    memcpy(out + at, &word, 8);
  }
}

int Send(int argc, char** argv) {
  Arguments arguments(argc, argv, 2);
  const std::string host = arguments.Text("to", nullptr);
  const SocketAddress to = ParseAddress(host, arguments.Number("port", "7778", 1, 65535));
  const uint64_t chunks = arguments.Number("mebibytes", "64", 1, 1 << 20) * ((1 << 20) / kChunk);
  arguments.Finish();
  base::UniqueFd fd(socket(to.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!fd.valid() || connect(fd.get(), to.get(), to.length) != 0) {
    Fail(std::string("cannot connect: ") + strerror(errno));
  }
  std::vector<uint8_t> chunk(kChunk);
  for (uint64_t n = 0; n < chunks; n++) {
    FillStream(chunk.data(), kChunk, n * kChunk);
    uint32_t at = 0;
    while (at < kChunk) {
      const ssize_t taken = send(fd.get(), chunk.data() + at, kChunk - at, MSG_NOSIGNAL);
      if (taken <= 0) Fail(std::string("the connection broke: ") + strerror(errno));
      at += static_cast<uint32_t>(taken);
    }
  }
  shutdown(fd.get(), SHUT_WR);
  // The sink closes when it has compared everything: only then is the transfer over.
  char rest;
  if (recv(fd.get(), &rest, 1, 0) != 0) Fail("the sink gave up");
  printf("{\"bytes\":%lu}\n", chunks * kChunk);
  return 0;
}

int Sink(int argc, char** argv) {
  Arguments arguments(argc, argv, 2);
  const std::string host = arguments.Text("bind", "0.0.0.0");
  const SocketAddress address = ParseAddress(host, arguments.Number("port", "7778", 1, 65535));
  arguments.Finish();
  base::UniqueFd listener(socket(address.family(), SOCK_STREAM | SOCK_CLOEXEC, 0));
  const int on = 1;
  setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (!listener.valid() || bind(listener.get(), address.get(), address.length) != 0 ||
      listen(listener.get(), 1) != 0) {
    Fail(std::string("cannot listen: ") + strerror(errno));
  }
  printf("ready\n");
  fflush(stdout);
  base::UniqueFd fd(accept4(listener.get(), nullptr, nullptr, SOCK_CLOEXEC));
  if (!fd.valid()) Fail(std::string("cannot accept: ") + strerror(errno));
  const uint64_t start = base::MonotonicNs();
  std::vector<uint8_t> chunk(kChunk);
  std::vector<uint8_t> wanted(kChunk);
  uint64_t bytes = 0;
  int64_t first_bad = -1;
  for (bool open = true; open;) {
    uint32_t filled = 0;
    while (filled < kChunk) {
      const ssize_t taken = recv(fd.get(), chunk.data() + filled, kChunk - filled, 0);
      if (taken < 0) Fail(std::string("the connection broke: ") + strerror(errno));
      open = taken > 0;
      if (!open) break;
      filled += static_cast<uint32_t>(taken);
    }
    FillStream(wanted.data(), kChunk, bytes);
    for (uint32_t i = 0; first_bad < 0 && i < filled; i++) {
      if (chunk[i] != wanted[i]) first_bad = static_cast<int64_t>(bytes + i);
    }
    bytes += filled;
  }
  printf("{\"bytes\":%lu,\"first_bad\":%ld,\"seconds\":%.6f}\n", bytes, first_bad,
         static_cast<double>(base::MonotonicNs() - start) / 1e9);
  return first_bad < 0 ? 0 : 1;
}

}  // namespace
}  // namespace tools

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], "send") == 0) return tools::Send(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "sink") == 0) return tools::Sink(argc, argv);
  tools::Fail(
      "usage: tcp_check send --to ADDRESS [--port N] [--mebibytes N] | sink [--bind ADDRESS] "
      "[--port N]");
}
