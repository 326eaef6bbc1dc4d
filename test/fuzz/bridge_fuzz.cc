// libFuzzer entry for one target of targets.h; corpus in corpus/bridge/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Bridge(data, size);
  return 0;
}
