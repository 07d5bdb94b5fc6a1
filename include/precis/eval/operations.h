// What a run asked of the machine: floating-point operations and bytes of its matrix products and attention, counted as
// LibTorch dispatches them (so padding counts, and what was left out does not).
#pragma once

#include <functional>

namespace precis {

struct Operations {
  double count = 0;  // multiply-adds count twice; causal attention counts half its pairs
  double bytes = 0;  // of operands and results, each counted once a product
};
// One at a time: whatever the program runs meanwhile is counted too.
Operations count_operations(const std::function<void()>& run);

}  // namespace precis
