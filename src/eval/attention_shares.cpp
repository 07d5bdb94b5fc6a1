#include "precis/eval/attention_shares.h"

#include <torch/types.h>

#include "precis/core/error.h"

namespace precis {

Json attention_shares(const Compressor& compressor, const TokenBatch& context) {
  const auto view = compressor.attention_view(context);
  if (!view) {
    throw Error({.what = "this method has no memory rows",
                 .where = "compressor.method",
                 .expected = "pic, icae or 500x",
                 .found = compressor.config().method});
  }
  const auto S = static_cast<int64_t>(view->chunk.size()), first = view->first_memory;
  Json layers = Json::array();
  for (const Tensor& weights : compressor.decoder().run(view->pass, {.rows = false, .attention = true}).attention) {
    const Tensor rows = weights[0].mean(0).narrow(0, first, S - first).to(torch::kDouble).cpu().contiguous();  // [M, S]
    double own = 0, other_text = 0, prefix = 0, itself = 0, other_memory = 0;
    std::vector<std::vector<double>> shown;
    for (int64_t m = 0; m < S - first; ++m) {
      const double* row = rows.data_ptr<double>() + m * S;
      shown.emplace_back(row, row + S);
      for (int64_t j = 0; j < S; ++j) {
        const int64_t chunk = view->chunk[static_cast<size_t>(j)];
        double& part = j == first + m                                         ? itself
                       : j >= first                                           ? other_memory
                       : chunk < 0                                            ? prefix
                       : chunk == view->chunk[static_cast<size_t>(first + m)] ? own
                                                                              : other_text;
        part += row[j];
      }
    }
    const double percent = 100 / static_cast<double>(S - first);
    layers.push_back({{"own_chunk", percent * own},
                      {"other_text", percent * other_text},
                      {"prefix", percent * prefix},
                      {"itself", percent * itself},
                      {"other_memory", percent * other_memory},
                      {"rows", shown}});
  }
  return layers;
}

}  // namespace precis
