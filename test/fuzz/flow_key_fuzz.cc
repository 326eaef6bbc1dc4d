// libFuzzer entry for one target of targets.h; corpus in corpus/flow_key/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::FlowKey(data, size);
  return 0;
}
