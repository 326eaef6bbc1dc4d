// Giving up every capability, in every thread of the process: capabilities belong to threads, and
// Node has threads of its own. Control thread, once, after set-up.
#pragma once

#include "base/result.h"

namespace confine {

// Empties the effective, permitted, inheritable and ambient sets of all threads; there is no way
// back. Fails when one thread still holds something.
base::Status DropCapabilities();

}  // namespace confine
