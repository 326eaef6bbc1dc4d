#include "base/result.h"

#include <cerrno>
#include <cstring>

namespace base {

Error SystemError(std::string_view code, std::string_view op, std::string_view detail) {
  const int saved = errno;
  return Error{std::string(code), saved, std::string(op), std::string(detail)};
}

}  // namespace base
