// libFuzzer entry for one target of targets.h; corpus in corpus/outer_icmp/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::OuterIcmp(data, size);
  return 0;
}
