// udp_load send|sink: numbered, sealed UDP packets from one pod to another, and the account of what
// arrived. Used by tests, demo and benchmarks through src/lab/traffic/. Prints JSON.
#include <cstring>

#include "tools/arguments.h"
#include "tools/udp_send.h"
#include "tools/udp_sink.h"

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], "send") == 0) return tools::UdpSend(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "sink") == 0) return tools::UdpSink(argc, argv);
  tools::Fail(
      "usage: udp_load send --to ADDRESS [--port N] [--rate PACKETS_A_SECOND] [--size BYTES] "
      "[--flows N]"
      " [--segments N] [--packets N] [--milliseconds N] | udp_load sink [--bind ADDRESS] [--port N]"
      " [--packets N] [--quiet-milliseconds N] [--missing-quiet-milliseconds N]"
      " [--limit-milliseconds N]");
}
