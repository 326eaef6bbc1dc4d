// The system calls that a data-plane process needs once it has everything open: it reads and writes
// descriptors it has, accepts connections, keeps time, gets memory and threads, and ends. It opens
// no file, makes no socket, runs no program, touches no other process.
#pragma once

#include "base/result.h"

namespace confine {

// For all threads, present and to come (seccomp, TSYNC); sets no_new_privs. What is not allowed
// fails with EPERM: a surprise must not end a process that carries traffic.
base::Status InstallSyscallFilter();

}  // namespace confine
