// libFuzzer entry for one target of targets.h; corpus in corpus/table/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::Table(data, size);
  return 0;
}
