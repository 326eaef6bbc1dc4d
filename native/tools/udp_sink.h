// The receiving half of udp_load.
#pragma once

namespace tools {

// Returns the process's exit code. Prints "ready", then one JSON object at the end.
int UdpSink(int argc, char** argv);

}  // namespace tools
