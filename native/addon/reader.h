// Reads an options object field by field and remembers the first field that was wrong. Shared by
// everything in this folder that takes options.
#pragma once

#include <napi.h>

#include <cstdint>
#include <string>
#include <vector>

namespace addon {

// Reads fields and remembers the first one that was wrong.
class Reader {
 public:
  explicit Reader(const Napi::Object& object) : object_(object) {}

  std::string Text(const char* field) {
    const Napi::Value value = object_.Get(field);
    if (!value.IsString()) return Fail(field, "a string"), std::string();
    return value.As<Napi::String>().Utf8Value();
  }
  uint32_t Number(const char* field, uint32_t max) {
    const Napi::Value value = object_.Get(field);
    if (!value.IsNumber()) return Fail(field, "a number"), 0;
    const double number = value.As<Napi::Number>().DoubleValue();
    if (!(number >= 0 && number <= max) ||
        number != static_cast<double>(static_cast<uint32_t>(number))) {
      return Fail(field, "a whole number up to " + std::to_string(max)), 0;
    }
    return static_cast<uint32_t>(number);
  }
  std::vector<uint32_t> Numbers(const char* field, uint32_t max) {
    std::vector<uint32_t> numbers;
    const Napi::Value value = object_.Get(field);
    const std::string expected = "an array of whole numbers up to " + std::to_string(max);
    if (!value.IsArray()) return Fail(field, expected), numbers;
    const Napi::Array array = value.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value item = array.Get(i);
      const double number = item.IsNumber() ? item.As<Napi::Number>().DoubleValue() : -1;
      if (!(number >= 0 && number <= max) ||
          number != static_cast<double>(static_cast<uint32_t>(number))) {
        return Fail(field, expected), numbers;
      }
      numbers.push_back(static_cast<uint32_t>(number));
    }
    return numbers;
  }
  bool Flag(const char* field) {
    const Napi::Value value = object_.Get(field);
    if (!value.IsBoolean()) return Fail(field, "a boolean"), false;
    return value.As<Napi::Boolean>().Value();
  }
  std::vector<std::string> Texts(const char* field) {
    std::vector<std::string> texts;
    const Napi::Value value = object_.Get(field);
    if (!value.IsArray()) return Fail(field, "an array of strings"), texts;
    const Napi::Array array = value.As<Napi::Array>();
    for (uint32_t i = 0; i < array.Length(); ++i) {
      const Napi::Value item = array.Get(i);
      if (!item.IsString()) return Fail(field, "an array of strings"), texts;
      texts.push_back(item.As<Napi::String>().Utf8Value());
    }
    return texts;
  }
  void Fail(const char* field, const std::string& expected) {
    if (failure_.empty()) failure_ = std::string(field) + " must be " + expected;
  }
  const std::string& failure() const { return failure_; }

 private:
  Napi::Object object_;
  std::string failure_;
};

}  // namespace addon
