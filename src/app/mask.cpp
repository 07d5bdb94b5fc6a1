#include <torch/types.h>

#include <algorithm>
#include <cstdio>

#include "commands.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

// The smallest decoder that a compressor can be made around: its mask and positions depend on none of this.
std::shared_ptr<const Decoder> any_decoder() {
  return Decoder::shape_only(decoder_config_from_hugging_face({{"model_type", "llama"},
                                                               {"hidden_size", 8},
                                                               {"intermediate_size", 8},
                                                               {"num_hidden_layers", 1},
                                                               {"num_attention_heads", 1},
                                                               {"num_key_value_heads", 1},
                                                               {"vocab_size", 4096},
                                                               {"max_position_embeddings", 1 << 20},
                                                               {"rms_norm_eps", 1e-5},
                                                               {"tie_word_embeddings", true}},
                                                              "precis mask"));
}

// A letter for each of `rows` encoder rows: p prefix, t text, m memory row.
std::string kinds_of_rows(const Compressor& compressor, int64_t rows, int64_t text) {
  const CompressorConfig& c = compressor.config();
  const int64_t ratio = compressor.ratio(), chunk = c.chunk > 0 ? c.chunk : ratio, memory = compressor.entries_of(text);
  const auto letters = [](int64_t n, char letter) { return std::string(static_cast<size_t>(n), letter); };
  if (rows < text + memory) return letters(rows - text, 'p') + letters(text, 't');  // no rows of their own
  const std::string prefix = letters(rows - text - memory, 'p');
  if (c.layout != "interleave") return prefix + letters(text, 't') + letters(memory, 'm');
  std::string kinds = prefix;
  for (int64_t start = 0; start < text; start += chunk) {
    const int64_t tokens = std::min(chunk, text - start);
    kinds += letters(tokens, 't') + letters((tokens + ratio - 1) / ratio, 'm');
  }
  return kinds;
}

}  // namespace

void run_mask(const Config& config, int64_t length, bool json, const CompressorRegistry& registry) {
  const auto compressor = registry.make(config.compressor, {any_decoder(), 0, true, "", 1});
  const EncoderView view =
      compressor->encoder_view({torch::arange(length).unsqueeze(0), torch::tensor({length}, torch::kLong)});
  const int64_t S = view.mask.size(0);
  const std::string rows = kinds_of_rows(*compressor, S, std::min(length, config.compressor.segment_length));
  const auto kind = [&](int64_t row) { return rows[static_cast<size_t>(row)]; };
  const auto sees = [&](int64_t query, int64_t key) { return view.mask[query][key].item<bool>(); };
  if (json) {
    Json mask = Json::array(), positions = Json::array();
    for (int64_t i = 0; i < S; ++i) {
      std::string line;
      for (int64_t j = 0; j < S; ++j) line += sees(i, j) ? '1' : '0';
      mask.push_back(line);
      positions.push_back(view.positions[i].item<int64_t>());
    }
    const Json out = {{"method", config.compressor.method},
                      {"ratio", compressor->ratio()},
                      {"rows", rows},
                      {"positions", positions},
                      {"mask", mask}};
    return void(std::printf("%s\n", out.dump().c_str()));
  }
  std::printf("p prefix, t text, m memory row; 1: attends to it\n");
  std::printf("%-6s%8s  mask\n", "row", "position");
  int64_t texts = 0, memories = 0;
  for (int64_t i = 0; i < S; ++i) {
    std::string line;
    for (int64_t j = 0; j < S; ++j) {
      const bool other_kind = j > 0 && kind(j) != kind(j - 1);
      line += cat(other_kind ? " " : "", sees(i, j) ? '1' : '.');
    }
    const int64_t number = kind(i) == 'm' ? ++memories : kind(i) == 'p' ? 1 : ++texts;
    std::printf("%-6s%8lld  %s\n", cat(kind(i), number).c_str(),
                static_cast<long long>(view.positions[i].item<int64_t>()), line.c_str());
  }
}

}  // namespace precis
