// The drop reasons as an enum and their names; drop_reason.def is the only list.
#pragma once

#include <cstdint>

namespace pkt {

enum class DropReason : uint8_t {
#define X(enumerator, label, sentence) enumerator,
#include "pkt/drop_reason.def"
#undef X
  kCount,
};

inline constexpr uint32_t kDropReasons = static_cast<uint32_t>(DropReason::kCount);

struct DropReasonText {
  const char* label;
  const char* sentence;
};
inline constexpr DropReasonText kDropReasonTexts[] = {
#define X(enumerator, label, sentence) {label, sentence},
#include "pkt/drop_reason.def"
#undef X
};
static_assert(sizeof(kDropReasonTexts) / sizeof(kDropReasonTexts[0]) == kDropReasons);

}  // namespace pkt
