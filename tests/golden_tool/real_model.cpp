#include <torch/types.h>

#include "golden.h"
#include "precis/core/strings.h"
#include "precis/model/generate.h"
#include "precis/nn/cross_entropy.h"
#include "precis/text/tokenizer.h"
#include "precis/weights/dequantize.h"

namespace precis::golden {
namespace {

void require_model(const std::string& model, const std::filesystem::path& where) {
  if (model.empty())
    throw Error({.what = "this case needs the real model",
                 .where = where.string(),
                 .hint = "precis-golden --model models/SmolLM2-135M-Instruct.Q4_1.gguf ..."});
}

void compare_prompt(const Decoder& decoder, const Tokenizer& tokenizer, const Json& p, Comparison& compare) {
  const std::string name = p.at("name").get<std::string>() + ".";
  const TokenIds ids = tokenizer.encode(p.at("text").get<std::string>(), true);
  compare.note(name + "ids", ids == p.at("ids").get<TokenIds>(), cat(ids.size(), " tokens"));
  const Tensor batch = torch::tensor(ids, torch::kLong).unsqueeze(0);
  const DecoderInput input{decoder.embed(batch), torch::tensor({batch.size(1)}, torch::kLong),
                           torch::arange(batch.size(1)).unsqueeze(0)};
  const Tensor hidden = decoder.hidden(input)[0];
  const Tensor logits = decoder.logits(hidden[-1]);
  const Tensor wanted_ids = tensor_of(p.at("top10_ids")),
               wanted = torch::tensor(p.at("top10_logits").get<std::vector<double>>(), torch::kDouble);
  const double difference = (logits.index_select(0, wanted_ids).to(torch::kDouble) - wanted).abs().max().item<double>();
  const bool same_order = std::get<1>(logits.topk(10)).equal(wanted_ids);
  compare.note(name + "top10", difference <= 1e-3 && same_order,
               cat("max |difference| ", difference, ", tolerance 1e-3"));
  const int64_t n = batch.size(1) - 1;
  const double entropy =
      linear_cross_entropy_sum(hidden.narrow(0, 0, n), decoder.classifier(), batch[0].narrow(0, 1, n)).item<double>() /
      static_cast<double>(n);
  const double off = std::abs(entropy - p.at("mean_cross_entropy").get<double>());
  compare.note(name + "mean_cross_entropy", off <= 1e-4, cat("difference ", off, ", tolerance 1e-4"));
  const auto greedy = p.at("greedy_ids").get<TokenIds>();
  const auto found = generate(decoder, input, {.max_new_tokens = static_cast<int64_t>(greedy.size())})[0];
  compare.note(name + "greedy_ids", found == greedy,
               found == greedy ? "equal" : "different: " + tokenizer.decode(found));
  compare.note(name + "greedy_text", tokenizer.decode(found) == p.at("greedy_text").get<std::string>(),
               tokenizer.decode(found).size() > 0 ? "decoded" : "empty");
}

void compare_tensor(const GgufFile& file, const Checkpoint& checkpoint, const Json& t, Comparison& compare) {
  const std::string name = t.at("gguf");
  const Tensor values = dequantize(file, name);
  const auto bits_equal = [](const Tensor& row, const Json& wanted) {
    for (size_t i = 0; i < wanted.size(); ++i) {
      if (row[static_cast<int64_t>(i)].item<float>() != wanted[i].get<float>()) return false;
    }
    return true;
  };
  bool equal = values.sizes() == at::IntArrayRef(t.at("shape").get<std::vector<int64_t>>()) &&
               bits_equal(values.flatten(), t.at("first8"));
  const Tensor hf = checkpoint.tensor(t.at("hf").get<std::string>());
  if (t.contains("row1_first8")) equal = equal && bits_equal(hf[1], t.at("row1_first8"));
  if (t.contains("row1_first8_gguf_order")) equal = equal && bits_equal(values[1], t.at("row1_first8_gguf_order"));
  const double scale = t.at("abs_sum"), sum = values.to(torch::kDouble).sum().item<double>(),
               magnitude = values.to(torch::kDouble).abs().sum().item<double>();
  const double off_sum = std::abs(sum - t.at("sum").get<double>()) / scale,
               off_magnitude = std::abs(magnitude - scale) / scale;
  compare.note(name, equal && off_sum <= 1e-9 && off_magnitude <= 1e-9,
               cat("first values ", equal ? "equal" : "DIFFERENT", ", sums off by ", off_sum, " and ", off_magnitude,
                   " of abs_sum, tolerance 1e-9"));
}

}  // namespace

bool run_tokenizer_vectors(const std::filesystem::path& file, const std::string& model) {
  require_model(model, file);
  const Json json = read_json(file);
  const auto tokenizer = load_tokenizer(model);
  Comparison compare(file.stem().string(), {});
  size_t index = 0;
  for (const Json& v : json.at("vectors")) {
    const TokenIds ids = tokenizer->encode(v.at("input").get<std::string>(), v.at("parse_special"));
    const bool equal =
        ids == v.at("ids").get<TokenIds>() && tokenizer->decode(ids) == v.at("decoded").get<std::string>();
    compare.note(cat("vector ", index++), equal, equal ? "equal" : "different for " + excerpt(v.at("input").dump()));
  }
  for (const Json& v : json.at("decode")) {
    const auto ids = v.at("ids").get<TokenIds>();
    std::string hex;
    for (const int64_t id : ids) {
      for (const unsigned char byte : tokenizer->token_bytes(id))
        hex += cat("0123456789abcdef"[byte >> 4], "0123456789abcdef"[byte & 15]);
    }
    const bool equal =
        tokenizer->decode(ids) == v.at("decoded").get<std::string>() && hex == v.at("bytes_hex").get<std::string>();
    compare.note("decode " + hex, equal, equal ? "equal" : "different");
  }
  return compare.passed();
}

bool run_real_model(const std::filesystem::path& folder, const std::string& model) {
  require_model(model, folder);
  const at::NoGradGuard no_gradient;
  const Json json = read_json(folder / "expected.json");
  const auto decoder = load_decoder(model, "float32");
  const auto tokenizer = load_tokenizer(model);
  Comparison compare(folder.filename().string(), {});
  for (const Json& prompt : json.at("prompts")) compare_prompt(*decoder, *tokenizer, prompt, compare);
  const GgufFile file(model);
  const auto checkpoint = open_gguf_checkpoint(model, gguf_layout(decoder->config()));
  for (const Json& tensor : json.at("tensors")) compare_tensor(file, *checkpoint, tensor, compare);
  return compare.passed();
}

}  // namespace precis::golden
