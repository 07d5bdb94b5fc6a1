// A compression method's part of the configuration: its defaults and its own settings, `compressor.<method>.*`.
// Built-in and external methods use the same types.
#pragma once

#include <any>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "precis/config/fields.h"

namespace precis {

struct CompressorConfig;

// The settings struct of one method. It lists its fields in `visit`, like every configuration struct. Field types:
// bool, int64_t, double, std::string, or a list of the last three.
class MethodSettings {
 public:
  MethodSettings() = default;  // a method without settings

  template <class T>
  static MethodSettings of(std::string method, T values = {}) {
    MethodSettings out;
    out.method_ = std::move(method);
    out.doc_ = out.method_ + " only";
    out.values_ = std::move(values);
    out.list_ = [](std::any& held) {
      FieldList list;
      std::any_cast<T&>(held).visit(list);
      return std::move(list.fields);
    };
    return out;
  }

  bool empty() const { return !values_.has_value(); }
  const char* key() const { return method_.c_str(); }
  const char* doc() const { return doc_.c_str(); }

  // The struct. CompressorRegistry::make checks that it belongs to the method.
  template <class T>
  const T& get() const {
    return std::any_cast<const T&>(values_);
  }
  template <class T>
  T& get() {
    return std::any_cast<T&>(values_);
  }

  template <class V>
  void visit(V& v) {
    if (empty()) return;
    for (const Field& field : list_(values_))
      std::visit([&](auto* value) { v(field.key, *value, field.doc, field.limits); }, field.value);
  }

 private:
  struct Field {
    const char* key;
    std::variant<bool*, int64_t*, double*, std::string*, std::vector<std::string>*, std::vector<int64_t>*,
                 std::vector<double>*>
        value;
    const char* doc;
    Limits limits;
  };
  struct FieldList {
    std::vector<Field> fields;
    template <class T>
    void operator()(const char* key, T& value, const char* doc, const Limits& limits = {}) {
      fields.push_back({key, &value, doc, limits});
    }
  };

  std::string method_, doc_;
  std::any values_;
  std::vector<Field> (*list_)(std::any&) = nullptr;
};

struct Method {
  std::string about;  // one line: what the memory is, and the source
  MethodSettings settings;
  std::function<void(CompressorConfig&)> published;  // sets the published defaults; may be empty
  std::function<void(CompressorConfig&)> learns;     // then those that learn best in this library; may be empty
};

// Methods by name, shared by the configurations read with them; nullptr: no known methods.
using MethodTable = std::map<std::string, Method>;
using Methods = std::shared_ptr<const MethodTable>;

}  // namespace precis
