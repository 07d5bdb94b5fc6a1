#include "precis/nn/dropout.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>

#include "precis/core/error.h"
#include "precis/nn/device.h"
#include "processors.h"

namespace precis {
namespace {

PRECIS_INLINE uint64_t mixed(uint64_t z) {
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

PRECIS_INLINE void draw_bytes(uint64_t seed, uint64_t bound, uint8_t* bytes, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; ++i) {
    uint64_t byte = 0;
    for (unsigned pair = 0; pair < 4; ++pair) {  // two draws per number
      const uint64_t number = mixed(seed + (4 * static_cast<uint64_t>(i) + pair + 1) * 0x9e3779b97f4a7c15ULL);
      byte |= static_cast<uint64_t>((number & 0xffffffffULL) < bound) << (2 * pair);
      byte |= static_cast<uint64_t>((number >> 32) < bound) << (2 * pair + 1);
    }
    bytes[i] = static_cast<uint8_t>(byte);
  }
}

// Masks are read eight bytes at a time and expanded to one word per entry; W: unsigned, as wide as an entry.
constexpr int64_t block_bytes = 8, block = 8 * block_bytes;

template <class W>
PRECIS_INLINE void expand(const uint8_t* bytes, W* words) {
  for (int64_t i = 0; i < block_bytes; ++i) {
    for (int64_t j = 0; j < 8; ++j) words[8 * i + j] = static_cast<W>(-static_cast<W>((bytes[i] >> j) & 1));
  }
}

template <class W>
PRECIS_INLINE void dropout(const uint8_t* bytes, const W* from, W* to, int64_t begin, int64_t end) {
  W words[block];
  for (int64_t i = begin; i < end; ++i) {
    expand(bytes + i * block_bytes, words);
    for (int64_t j = 0; j < block; ++j) to[i * block + j] = from[i * block + j] & words[j];
  }
}

template <class W, class T>
PRECIS_INLINE void add_dropout(const uint8_t* bytes, const T* from, T* to, int64_t begin, int64_t end) {
  W words[block];
  T kept_entries[block];
  for (int64_t i = begin; i < end; ++i) {
    expand(bytes + i * block_bytes, words);
    W entries[block];
    std::memcpy(entries, from + i * block, sizeof(entries));
    for (int64_t j = 0; j < block; ++j) entries[j] &= words[j];
    std::memcpy(static_cast<void*>(kept_entries), entries, sizeof(entries));
    T* out = to + i * block;
    for (int64_t j = 0; j < block; ++j) narrow_into(out[j], widened(out[j]) + widened(kept_entries[j]));
  }
}

// Runs `kernel` over all whole blocks, then over a padded copy of the remaining entries.
template <class T, class F>
void for_blocks(const Tensor& mask, const Tensor& x, const Tensor& out, F kernel) {
  const auto* bytes = mask.const_data_ptr<uint8_t>();
  const auto* from = static_cast<const T*>(x.const_data_ptr());
  auto* to = static_cast<T*>(out.mutable_data_ptr());
  const int64_t whole = x.numel() / block, done = whole * block, rest = x.numel() - done;
  for_rows(whole, 256, [=](int64_t begin, int64_t end) PRECIS_ALWAYS_INLINE { kernel(bytes, from, to, begin, end); });
  if (rest == 0) return;
  uint8_t last_bytes[block_bytes] = {};
  T last_from[block] = {}, last_to[block] = {};
  std::copy_n(bytes + done / 8, (rest + 7) / 8, last_bytes);
  std::copy_n(from + done, rest, last_from);
  std::copy_n(to + done, rest, last_to);
  run_kernel([&]() PRECIS_ALWAYS_INLINE { kernel(last_bytes, last_from, last_to, 0, 1); });
  std::copy_n(last_to, rest, to + done);
}

void check_mask(const Tensor& mask, const Tensor& x) {
  check(mask.numel() == (x.numel() + 7) / 8, "dropout: the mask was drawn for another shape");
}

// A zero of x's dtype and device, cached: on a GPU, creating one is a kernel. Never freed: the GPU shuts down first.
Tensor zero_of(const Tensor& x) {
  static std::mutex mutex;
  static auto* const zeros = new std::map<std::tuple<at::DeviceType, int, at::ScalarType>, Tensor>;
  const std::lock_guard lock(mutex);
  Tensor& zero = (*zeros)[{x.device().type(), x.device().index(), x.scalar_type()}];
  if (!zero.defined()) {
    const c10::InferenceMode no_inference(false);
    zero = torch::zeros({}, x.options().requires_grad(false));
  }
  return zero;
}

}  // namespace

Tensor dropout_mask(at::IntArrayRef shape, at::Device device, double keep,
                    const std::optional<at::Generator>& generator) {
  const auto options = torch::TensorOptions().device(device);
  at::Generator source = generator ? *generator : at::detail::getDefaultCPUGenerator();
  const uint64_t seed = [&] {
    const std::lock_guard lock(source.mutex());
    return at::check_generator<at::CPUGeneratorImpl>(source)->random64();
  }();
  if (!device.is_cpu())
    return torch::empty(shape, options.dtype(torch::kBool)).bernoulli_(keep, seeded_generator(device, seed));
  const auto bound = static_cast<uint64_t>(std::llround(keep * 4294967296.0));
  const Tensor mask = torch::empty({(c10::multiply_integers(shape) + 7) / 8}, options.dtype(torch::kByte));
  auto* bytes = mask.mutable_data_ptr<uint8_t>();
  for_rows(mask.numel(), 1024,
           [=](int64_t begin, int64_t end) PRECIS_ALWAYS_INLINE { draw_bytes(seed, bound, bytes, begin, end); });
  return mask;
}

Tensor kept(const Tensor& mask, const Tensor& x) {
  if (mask.scalar_type() == torch::kBool) return torch::where(mask.view_as(x), x, zero_of(x));
  check_mask(mask, x);
  const Tensor rows = x.contiguous(), out = torch::empty_like(rows);
  if (rows.element_size() == 4) {
    for_blocks<uint32_t>(mask, rows, out, [](auto... of) PRECIS_ALWAYS_INLINE { dropout(of...); });
  } else {
    check(rows.element_size() == 2, "dropout: entries of 2 or 4 bytes");
    for_blocks<uint16_t>(mask, rows, out, [](auto... of) PRECIS_ALWAYS_INLINE { dropout(of...); });
  }
  return out;
}

void add_kept(const Tensor& mask, const Tensor& x, Tensor& to) {
  const auto dtype = x.scalar_type();
  if (mask.scalar_type() == torch::kBool || (dtype != at::kFloat && dtype != at::kBFloat16)) {
    to.add_(kept(mask, x));
    return;
  }
  check_mask(mask, x);
  check(x.is_contiguous() && to.is_contiguous() && to.scalar_type() == dtype, "add_kept: contiguous, of one dtype");
  with_type_of(dtype, [&]<class T>(T) {
    using Word = std::conditional_t<sizeof(T) == 4, uint32_t, uint16_t>;
    for_blocks<T>(mask, x, to, [](auto... of) PRECIS_ALWAYS_INLINE { add_dropout<Word>(of...); });
  });
}

}  // namespace precis
