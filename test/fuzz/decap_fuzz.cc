// libFuzzer entry for one target of targets.h; corpus in corpus/decap/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Decap(data, size);
  return 0;
}
