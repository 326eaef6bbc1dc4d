// libFuzzer entry for one target of targets.h; corpus in corpus/vnet_header/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::VnetHeader(data, size);
  return 0;
}
