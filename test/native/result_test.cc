// Result<T> and Error: what crosses Node-API when the environment is wrong.
#include "base/result.h"

#include <gtest/gtest.h>

#include <cerrno>
#include <memory>

namespace base {
namespace {

TEST(Result, HoldsAValueThatCanBeMovedOut) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);
  ASSERT_TRUE(result.ok());
  std::unique_ptr<int> taken = std::move(result).value();
  EXPECT_EQ(*taken, 7);
}

TEST(Result, HoldsAnErrorInsteadOfAValue) {
  const Result<int> result = Error{"CODE", EPERM, "open(/dev/net/tun)", "run as root"};
  EXPECT_FALSE(result.ok());
  EXPECT_EQ(result.error().code, "CODE");
  EXPECT_EQ(result.error().os_error, EPERM);
}

TEST(Result, AbortsWhenAnErrorIsReadAsAValue) {
  Result<int> result = Error{"CODE", 0, "op", "detail"};
  EXPECT_DEATH((void)result.value(), "");
}

TEST(SystemError, TakesTheErrnoOfTheFailedCall) {
  errno = ENODEV;
  const Error error = SystemError("LINK_MISSING", "ioctl(SIOCGIFINDEX)", "no such device");
  EXPECT_EQ(error.os_error, ENODEV);
  EXPECT_EQ(error.op, "ioctl(SIOCGIFINDEX)");
}

}  // namespace
}  // namespace base
