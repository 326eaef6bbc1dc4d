// Replays the fuzzers' corpus: what once was interesting to a fuzzer stays checked in every build.
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "targets.h"

namespace {

class FuzzCorpus : public ::testing::TestWithParam<fuzz::Target> {};

TEST_P(FuzzCorpus, KeepsEveryPromise) {
  const std::filesystem::path folder =
      std::filesystem::path(RIPSTOP_SOURCE_DIR) / "test/fuzz/corpus" / GetParam().name;
  uint32_t inputs = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    SCOPED_TRACE(entry.path().string());
    std::ifstream file(entry.path(), std::ios::binary);
    const std::vector<char> bytes((std::istreambuf_iterator<char>(file)),
                                  std::istreambuf_iterator<char>());
    const auto* data = reinterpret_cast<const uint8_t*>(bytes.data());
    GetParam().run(data, bytes.size());
    for (size_t cut = 0; cut < bytes.size() && cut < 160; ++cut) GetParam().run(data, cut);
    ++inputs;
  }
  EXPECT_GE(inputs, 1u) << "no corpus in " << folder;
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzCorpus, ::testing::ValuesIn(fuzz::kTargets),
                         [](const auto& info) { return std::string(info.param.name); });

}  // namespace
