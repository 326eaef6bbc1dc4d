// request_load serve|ask: one small request, one small answer, over and over, and how long each
// took: over one TCP connection, over UDP, or with a new TCP connection each time. Prints JSON.
#include "tools/request_load.h"

#include <cstring>

#include "tools/arguments.h"

int main(int argc, char** argv) {
  if (argc >= 2 && strcmp(argv[1], "serve") == 0) return tools::RequestServe(argc, argv);
  if (argc >= 2 && strcmp(argv[1], "ask") == 0) return tools::RequestAsk(argc, argv);
  tools::Fail(
      "usage: request_load serve [--bind ADDRESS] [--port N] | request_load ask --to ADDRESS "
      "[--port N] [--protocol tcp|udp|connect] [--size BYTES] [--milliseconds N]");
}
