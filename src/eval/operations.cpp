#include "precis/eval/operations.h"

#include <ATen/record_function.h>
#include <torch/types.h>

#include <mutex>
#include <string_view>

namespace precis {
using at::Tensor;

namespace {

std::mutex counting;
Operations* counted = nullptr;  // record functions are plain function pointers

double bytes_of(const Tensor& t) { return static_cast<double>(t.numel() * t.element_size()); }

// [.., n, k] x [.., k, m], with any number of leading dimensions.
Operations product(const Tensor& a, const Tensor& b) {
  const double out = static_cast<double>(a.numel() / a.size(-1)) * static_cast<double>(b.dim() > 1 ? b.size(-1) : 1);
  return {2 * out * static_cast<double>(a.size(-1)),
          bytes_of(a) + bytes_of(b) + out * static_cast<double>(a.element_size())};
}

Operations attention(const Tensor& q, const Tensor& k, bool causal, double products) {
  const double pairs = static_cast<double>(q.size(0) * q.size(1) * q.size(2) * k.size(2)) * (causal ? 0.5 : 1);
  return {products * 2 * pairs * static_cast<double>(q.size(3)), 2 * (bytes_of(q) + bytes_of(k))};
}

Operations operations_of(std::string_view name, c10::ArrayRef<const c10::IValue> in) {
  const auto tensor = [&](size_t i) -> const Tensor& { return in[i].toTensor(); };
  if (name == "aten::mm" || name == "aten::bmm" || name == "aten::mv") return product(tensor(0), tensor(1));
  if (name == "aten::addmm" || name == "aten::addmm_" || name == "aten::baddbmm") return product(tensor(1), tensor(2));
  if (name == "mkldnn::_linear_pointwise" || name == "precis::linear") return product(tensor(0), tensor(1).t());
  if (name == "precis::lora_linear") {  // rows, weight, A of all slices, and B [out, rank] of each
    Operations o;
    const auto add = [&o](const Operations& one) {
      o.count += one.count;
      o.bytes += one.bytes;
    };
    add(product(tensor(0), tensor(1).t()));
    add(product(tensor(0), tensor(2).t()));
    for (size_t i = 3; i < in.size(); ++i)
      add(product(tensor(0).narrow(1, 0, 1).expand({-1, tensor(i).size(1)}), tensor(i).t()));
    return o;
  }
  if (name == "precis::row_linear") {  // rows, and a weight [out, in]
    const Operations o = product(tensor(1), tensor(0).t());
    return {o.count, bytes_of(tensor(1)) + bytes_of(tensor(0))};
  }
  // The index of `causal` differs by kernel: it follows the dropout, which follows k and v, or mask and log-sum-exp.
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu" ||
      name == "aten::_scaled_dot_product_flash_attention")
    return attention(tensor(0), tensor(1), in[4].toBool(), 2);
  if (name == "aten::_scaled_dot_product_efficient_attention" || name == "aten::_scaled_dot_product_cudnn_attention")
    return attention(tensor(0), tensor(1), in[6].toBool(), 2);
  if (name == "aten::_scaled_dot_product_efficient_attention_backward")
    return attention(tensor(1), tensor(2), in[11].toBool(), 5);
  if (name == "aten::_scaled_dot_product_flash_attention_backward")
    return attention(tensor(1), tensor(2), in[11].toBool(), 5);
  if (name == "aten::_scaled_dot_product_flash_attention_for_cpu_backward")
    return attention(tensor(1), tensor(2), in[7].toBool(), 5);
  return {};
}

std::unique_ptr<at::ObserverContext> record(const at::RecordFunction& function) {
  const Operations o = operations_of(function.name(), function.inputs());
  const std::lock_guard lock(counting);
  if (counted != nullptr) {
    counted->count += o.count;
    counted->bytes += o.bytes;
  }
  return nullptr;
}

void count_into(Operations* to) {
  const std::lock_guard lock(counting);
  counted = to;
}

// Counts until destroyed, even if the run throws.
class Listener {
 public:
  explicit Listener(Operations& to) {
    count_into(&to);
    handle_ =
        at::addGlobalCallback(at::RecordFunctionCallback(record).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  }
  ~Listener() {
    at::removeCallback(handle_);
    count_into(nullptr);
  }
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  at::CallbackHandle handle_ = at::INVALID_CALLBACK_HANDLE;
};

}  // namespace

Operations count_operations(const std::function<void()>& run) {
  Operations out;
  const Listener listener(out);
  run();
  return out;
}

}  // namespace precis
