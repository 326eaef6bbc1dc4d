// The sending half of udp_load.
#pragma once

namespace tools {

// Returns the process's exit code. Prints one JSON object.
int UdpSend(int argc, char** argv);

}  // namespace tools
