#include <torch/autograd.h>
#include <torch/types.h>

#include "golden.h"
#include "precis/core/strings.h"
#include "precis/model/generate.h"
#include "precis/nn/cross_entropy.h"

namespace precis::golden {
namespace {

DecoderInput input_of(const Decoder& decoder, const Tensor& ids, const Tensor& positions) {
  return {decoder.embed(ids), torch::full({ids.size(0)}, ids.size(1), torch::kLong), positions};
}

Tensor counting(const Tensor& ids) { return torch::arange(ids.size(1)).unsqueeze(0).expand_as(ids); }

void compare_embeds(const Decoder& decoder, const Json& input, Comparison& compare) {
  const Tensor rows = compare.expected("embeds.input").clone().requires_grad_();
  compare.close("embeds.input", rows, 0);
  const Tensor labels = tensor_of(input.at("labels")).flatten();
  const Tensor hidden =
      decoder.hidden({rows, torch::tensor({rows.size(1)}, torch::kLong), torch::arange(rows.size(1)).unsqueeze(0)});
  compare.close("embeds.logits", decoder.logits(hidden), 1e-4);
  const Tensor targets = labels.slice(0, 1), supervised = targets.ne(-100).nonzero().squeeze(1);
  const Tensor sum = linear_cross_entropy_sum(hidden.squeeze(0).index_select(0, supervised), decoder.classifier(),
                                              targets.index_select(0, supervised));
  const Tensor loss = sum / supervised.size(0);
  compare.close("embeds.loss", loss.view({1}), 1e-4);
  compare.close("embeds.grad", torch::autograd::grad({loss}, {rows})[0], 2e-5);
}

void compare_cache(const Decoder& decoder, const Json& input, Comparison& compare) {
  const Tensor ids = tensor_of(input.at("ids"));
  const int64_t prefix = input.at("prefix").get<int64_t>(), tail = input.at("tail").get<int64_t>();
  const DecoderConfig& c = decoder.config();
  KvCache cache(c.layers, 1, c.kv_heads, ids.size(1), c.head_dim, torch::kFloat);
  const Tensor positions = counting(ids);
  decoder.hidden(input_of(decoder, ids.narrow(1, 0, prefix), positions.narrow(1, 0, prefix)), &cache);
  compare.close("cache.logits",
                decoder.logits(decoder.hidden(
                    input_of(decoder, ids.narrow(1, prefix, tail), positions.narrow(1, prefix, tail)), &cache)),
                1e-4);
}

// `model`: the folder, or its model.gguf with the same weights.
bool run_decoder(const std::filesystem::path& folder, const std::filesystem::path& model, const std::string& title) {
  const Json inputs = json_get<Json>(read_json(folder / "case.json"), "inputs", (folder / "case.json").string());
  Comparison compare(title, SafetensorsFile(folder / "expected.safetensors").tensors());
  const auto decoder = load_decoder(model, "float32");
  {
    const at::NoGradGuard no_gradient;
    const Tensor ids = tensor_of(inputs.at("full").at("ids")),
                 positions = tensor_of(inputs.at("full").at("position_ids"));
    const Tensor real = tensor_of(inputs.at("full").at("attention_mask")).unsqueeze(2);
    const Tensor last = decoder->hidden(input_of(*decoder, ids, positions));
    const auto states =
        decoder->hidden_states({.rows = decoder->embed(ids), .position_ids = positions}, decoder->config().layers);
    compare.close("full.logits", decoder->logits(last) * real, 1e-4);
    for (size_t k = 0; k < states.size(); ++k) compare.close(cat("full.hidden.", k), states[k] * real, 1e-4);
    compare_cache(*decoder, inputs.at("cache"), compare);
    for (const char* name : {"offset", "gap"}) {
      const Tensor row = tensor_of(inputs.at(name).at("ids"));
      compare.close(
          cat(name, ".logits"),
          decoder->logits(decoder->hidden(input_of(*decoder, row, tensor_of(inputs.at(name).at("position_ids"))))),
          1e-4);
    }
    if (compare.expects("mask4d.mask")) {
      const Tensor mask = compare.expected("mask4d.mask").to(torch::kBool),
                   row = tensor_of(inputs.at("mask4d").at("ids"));
      compare.equal("mask4d.mask", mask);
      const DecoderInput pass{.rows = decoder->embed(row),
                              .position_ids = tensor_of(inputs.at("mask4d").at("position_ids")),
                              .plan = AttentionPlan::dense(mask)};
      compare.close("mask4d.logits", decoder->logits(decoder->hidden(pass)), 1e-4);
    }
    const Tensor prompt = tensor_of(inputs.at("greedy").at("prompt"));
    const auto new_ids = generate(*decoder, input_of(*decoder, prompt, counting(prompt)),
                                  {.max_new_tokens = inputs.at("greedy").at("new_tokens").get<int64_t>()});
    compare.equal("greedy.ids", torch::tensor(new_ids[0], torch::kLong).unsqueeze(0));
  }
  compare_embeds(*decoder, inputs.at("embeds"), compare);
  compare.finish();
  return compare.passed();
}

}  // namespace

bool run_decoder_case(const std::filesystem::path& folder) {
  const std::string name = folder.filename().string();
  const bool passed = run_decoder(folder, folder, name);
  const std::filesystem::path gguf = folder / "model.gguf";
  return (!std::filesystem::exists(gguf) || run_decoder(folder, gguf, name + " (GGUF)")) && passed;
}

}  // namespace precis::golden
