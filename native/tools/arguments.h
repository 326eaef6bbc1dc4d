// Command-line arguments of the traffic tools: "--name value" pairs, every one known and used.
// Header only, tools only.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>

namespace tools {

// Ends the process: the tools have one job, and a wrong argument leaves nothing to do.
[[noreturn]] inline void Fail(const std::string& sentence) {
  fprintf(stderr, "%s\n", sentence.c_str());
  exit(2);
}

class Arguments {
 public:
  Arguments(int argc, char** argv, int first) {
    for (int i = first; i < argc; i += 2) {
      const std::string name = argv[i];
      if (name.rfind("--", 0) != 0 || i + 1 >= argc)
        Fail("expected --name value, got '" + name + "'");
      values_[name.substr(2)] = argv[i + 1];
    }
  }

  std::string Text(const std::string& name, const char* otherwise) {
    const auto found = values_.find(name);
    if (found == values_.end()) {
      if (otherwise == nullptr) Fail("--" + name + " is missing");
      return otherwise;
    }
    std::string value = found->second;
    values_.erase(found);
    return value;
  }

  uint64_t Number(const std::string& name, const char* otherwise, uint64_t min, uint64_t max) {
    const std::string text = Text(name, otherwise);
    char* end = nullptr;
    const uint64_t value = strtoull(text.c_str(), &end, 10);
    if (text.empty() || *end != 0 || text[0] == '-' || value < min || value > max) {
      Fail("--" + name + " " + text + " is not a number from " + std::to_string(min) + " to " +
           std::to_string(max));
    }
    return value;
  }

  // After every value has been asked for: what is left is unknown.
  void Finish() const {
    if (!values_.empty()) Fail("unknown argument --" + values_.begin()->first);
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace tools
