// libFuzzer entry for one target of targets.h; corpus in corpus/coalesce/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Coalesce(data, size);
  return 0;
}
