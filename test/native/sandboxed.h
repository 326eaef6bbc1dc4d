// The fixture of tests that live in a NetSandbox: skipped where there can be none, left when the
// test is over, after whatever the test itself holds.
#pragma once

#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "net_sandbox.h"

namespace test {

template <typename Base = testing::Test>
class Sandboxed : public Base {
 protected:
  void SetUp() final {
    if (const std::string missing = NetSandbox::Missing(); !missing.empty())
      GTEST_SKIP() << missing;
    sandbox_.emplace();
    ASSERT_TRUE(sandbox_->ready());
    Prepare();
  }
  // What SetUp() is otherwise for; inside the sandbox.
  virtual void Prepare() {}

 private:
  std::optional<NetSandbox> sandbox_;
};

}  // namespace test
