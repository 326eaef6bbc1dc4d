// Result<T>: a value, or an Error that says which operation failed on what. Used wherever the
// operator or the environment can be wrong; never on the packet path (packets end in drop reasons,
// not errors).
#pragma once

#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace base {

// Becomes { code, errno, op, detail } across Node-API; src/dataplane/errors.ts builds the JS error.
struct Error {
  std::string code;    // Stable identifier, e.g. "TAP_OPEN_FAILED". Listed in docs/errors.md.
  int os_error = 0;    // Positive errno, 0 when no system call was involved.
  std::string op;      // System call or step, e.g. "ioctl(TUNSETIFF)".
  std::string detail;  // On what it was tried and what to do; one sentence.
};

// Builds an Error from the current errno.
Error SystemError(std::string_view code, std::string_view op, std::string_view detail);

template <typename T>
class [[nodiscard]] Result {
 public:
  // Implicit on purpose: `return value;` and `return error;` read as what they are.
  Result(T value) : value_(std::move(value)) {}
  Result(Error error) : error_(std::move(error)) {}

  bool ok() const { return value_.has_value(); }
  explicit operator bool() const { return ok(); }
  T& value() & { return Checked(); }
  T&& value() && { return std::move(Checked()); }
  T* operator->() { return &Checked(); }
  T& operator*() { return Checked(); }
  const Error& error() const { return error_; }

 private:
  T& Checked() {
    if (!value_) std::abort();  // A caller that did not look is a bug, not a condition.
    return *value_;
  }

  std::optional<T> value_;
  Error error_;
};

struct Nothing {};
using Status = Result<Nothing>;
inline Status Ok() { return Nothing{}; }

}  // namespace base
