#include "confine/confine.h"

#include "confine/capabilities.h"
#include "confine/syscall_filter.h"

namespace confine {

base::Status ConfineProcess() {
  if (auto status = DropCapabilities(); !status.ok()) return status;
  return InstallSyscallFilter();
}

}  // namespace confine
