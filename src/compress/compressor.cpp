#include "precis/compress/compressor.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/types.h>

#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/nn/cross_entropy.h"

namespace precis {

Compressor::Compressor(CompressorConfig config, Surroundings surroundings)
    : config_(std::move(config)),
      surroundings_(std::move(surroundings)),
      ratio_(config_.ratio),
      generator_(at::detail::createCPUGenerator(surroundings_.seed)) {
  check(surroundings_.decoder != nullptr, "a compressor needs a decoder");
}

namespace {

std::string join_numbers(const std::vector<int64_t>& numbers) {
  std::vector<std::string> words;
  for (const int64_t number : numbers) words.push_back(cat(number));
  return join(words, ", ");
}

}  // namespace

EncoderView Compressor::encoder_view(const TokenBatch&) const {
  throw Error(
      {.what = "this method has no single encoder mask", .where = "compressor.method", .found = config_.method});
}

int64_t Compressor::trained_parameters() const {
  int64_t count = 0;
  for (const auto& parameter : parameters()) count += parameter.numel();
  return count;
}

int64_t Compressor::entries_of_segment(int64_t tokens) const { return (tokens + ratio_ - 1) / ratio_; }

void Compressor::set_ratio(int64_t ratio) {
  if (!config_.ratio.has(ratio)) {
    throw Error({.what = "this compressor was not trained for this ratio",
                 .where = "compressor.ratio",
                 .expected = join_numbers(config_.ratio.values),
                 .found = cat(ratio)});
  }
  ratio_ = ratio;
}

int64_t Compressor::entries_of(int64_t tokens) const {
  const int64_t full = tokens / config_.segment_length, rest = tokens % config_.segment_length;
  return full * entries_of_segment(config_.segment_length) + (rest > 0 ? entries_of_segment(rest) : 0);
}

MemoryOrigin Compressor::origin() const {
  return {config_.method, version(), ratio_, decoder().fingerprint(), surroundings_.tokenizer_hash};
}

Memory Compressor::empty_memory(const TokenBatch& context, MemoryPlacement placement) const {
  return {.source_tokens = context.lengths.cpu(), .origin = origin(), .placement = placement};
}

Tensor Compressor::learned_rows(const std::string& name, int64_t n, double mean, double deviation) {
  const int64_t D = decoder().config().hidden;
  const Tensor rows =
      torch::empty(n == 0 ? std::vector<int64_t>{D} : std::vector<int64_t>{n, D}).normal_(mean, deviation, generator_);
  return register_parameter(name, rows.to(decoder().device()));
}

PromptRows Compressor::learned_prompt_rows(double deviation) {
  PromptRows rows{learned_rows("ae_row", 0, 0, deviation), {}, {}};
  if (!config_.memory_markers) return rows;
  rows.begin = learned_rows("mem_begin_row", 0, 0, deviation);
  rows.end = learned_rows("mem_end_row", 0, 0, deviation);
  return rows;
}

bool Compressor::use_bos(const std::string& setting, const char* key) const {
  if (setting == "no" || (setting == "auto" && !surroundings_.adds_bos)) return false;
  if (surroundings_.bos_id < 0) {
    throw Error({.what = "the tokenizer has no BOS token",
                 .where = cat("compressor.", key),
                 .expected = "auto or no",
                 .found = setting});
  }
  return true;
}

void CompressorRegistry::add(const std::string& method, CompressorFactory factory, Method about) {
  CompressorConfig fields;
  if (factories_.contains(method) || to_json(fields).contains(method)) {
    throw Error({.what = "a method needs a unique name",
                 .where = "CompressorRegistry::add",
                 .expected = "a name that is neither another method's nor a key of the section `compressor`",
                 .found = method});
  }
  factories_[method] = std::move(factory);
  auto methods = std::make_shared<MethodTable>(*methods_);
  (*methods)[method] = std::move(about);
  methods_ = std::move(methods);
}

std::vector<std::string> CompressorRegistry::names() const {
  std::vector<std::string> names;
  for (const auto& [name, factory] : factories_) names.push_back(name);
  return names;
}

std::shared_ptr<Compressor> CompressorRegistry::make(const CompressorConfig& config,
                                                     const Compressor::Surroundings& surroundings) const {
  const auto found = factories_.find(config.method);
  if (found == factories_.end()) {
    const std::string near = nearest_word(config.method, names());
    throw Error({.what = "unknown method",
                 .where = "compressor.method",
                 .expected = "one of " + join(names(), ", "),
                 .found = excerpt(config.method),
                 .hint = near.empty() ? "" : "did you mean " + near + "?"});
  }
  const MethodSettings& settings = methods_->at(config.method).settings;
  if (!settings.empty() && config.settings.key() != config.method) {
    throw Error({.what = "the configuration lacks the method's settings",
                 .where = "compressor.method",
                 .expected = cat("the settings of ", config.method),
                 .found = config.settings.empty() ? "none" : cat("those of ", config.settings.key()),
                 .hint = "start from CompressorRegistry::defaults(method)"});
  }
  const auto compressor = found->second(config, surroundings);
  // Initial values are drawn on the CPU, so that a seed gives the same ones on every device.
  compressor->to(surroundings.decoder->device());
  return compressor;
}

LossSum decoder_loss(const Decoder& decoder, const DecoderInput& input) {
  const Tensor labels = input.labels.flatten(), supervised = labels.ne(-100).nonzero().squeeze(1);
  const Tensor targets = labels.index_select(0, supervised).to(decoder.device());
  const Tensor rows = decoder.hidden(input).flatten(0, 1).index_select(0, supervised.to(decoder.device()));
  return {linear_cross_entropy_sum(rows, decoder.classifier(), targets), static_cast<double>(supervised.size(0))};
}

}  // namespace precis
