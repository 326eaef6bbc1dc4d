// libFuzzer entry for one target of targets.h; corpus in corpus/vni_demux/.
#include "targets.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fuzz::VniDemux(data, size);
  return 0;
}
