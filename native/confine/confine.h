// What a process that touches packets gives up once it has everything open: all capabilities, the
// hope for new ones, and every system call but a short list. For the whole process and for good;
// never called for a program that embeds the library. Control thread.
#pragma once

#include "base/result.h"

namespace confine {

base::Status ConfineProcess();

}  // namespace confine
