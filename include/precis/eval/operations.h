// Floating-point operations and bytes of a run's matrix products and attention, counted as LibTorch dispatches them
// (so padding counts, skipped work does not).
#pragma once

#include <functional>

namespace precis {

struct Operations {
  double count = 0;  // a multiply-add counts as two; causal attention counts half its pairs
  double bytes = 0;  // of operands and results, each counted once per product
};
// Run one count at a time: operations of other threads are counted too.
Operations count_operations(const std::function<void()>& run);

}  // namespace precis
