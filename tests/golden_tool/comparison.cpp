#include <torch/types.h>

#include <cstdio>

#include "golden.h"
#include "precis/core/strings.h"

namespace precis::golden {

void Comparison::note(const std::string& name, bool passed, const std::string& text) {
  passed_ = passed_ && passed;
  std::printf("%s  %s  %s  %s\n", passed ? "ok  " : "FAIL", title_.c_str(), name.c_str(), text.c_str());
}

void Comparison::close(const std::string& name, const Tensor& found, double absolute, double relative, double floor) {
  done_.insert(name);
  if (!expects(name)) return note(name, false, "not in the case");
  const Tensor want = expected_.at(name).to(torch::kDouble), have = found.detach().cpu().to(torch::kDouble);
  if (want.sizes() != have.sizes()) return note(name, false, cat("shape ", have.sizes(), ", expected ", want.sizes()));
  const double largest = want.numel() == 0 ? 0 : want.abs().max().item<double>();
  const double tolerance = absolute + relative * std::max(floor, largest);
  const double difference = want.numel() == 0 ? 0 : (have - want).abs().max().item<double>();
  char text[96];
  std::snprintf(text, sizeof text, "max |difference| %.2e, tolerance %.2e", difference, tolerance);
  note(name, difference <= tolerance, text);  // a NaN fails
}

void Comparison::equal(const std::string& name, const Tensor& found) {
  done_.insert(name);
  if (!expects(name)) return note(name, false, "not in the case");
  const Tensor want = expected_.at(name).to(torch::kLong), have = found.detach().cpu().to(torch::kLong);
  if (want.sizes() != have.sizes()) return note(name, false, cat("shape ", have.sizes(), ", expected ", want.sizes()));
  const int64_t different = want.ne(have).sum().item<int64_t>();
  note(name, different == 0, different == 0 ? "equal" : cat(different, " entries differ"));
}

void Comparison::finish() {
  for (const auto& [name, tensor] : expected_) {
    if (done_.count(name) == 0) note(name, false, "unknown tensor");
  }
}

Tensor tensor_of(const Json& rows) {
  std::vector<int64_t> sizes, values;
  const Json* level = &rows;
  while (level->is_array()) {
    sizes.push_back(static_cast<int64_t>(level->size()));
    if (level->empty()) break;
    level = &level->front();
  }
  const std::function<void(const Json&)> flatten = [&](const Json& item) {
    if (!item.is_array()) return values.push_back(item.get<int64_t>());
    for (const Json& inner : item) flatten(inner);
  };
  flatten(rows);
  return torch::tensor(values, torch::kLong).view(sizes);
}

}  // namespace precis::golden
