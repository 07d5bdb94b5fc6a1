#include "precis/eval/evaluator.h"

#include <c10/util/Exception.h>

#include <algorithm>
#include <cmath>
#include <new>
#include <set>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/process.h"
#include "precis/core/progress.h"
#include "precis/core/strings.h"
#include "precis/data/evaluation_set.h"
#include "precis/eval/stored_memories.h"
#include "precis/nn/device.h"
#include "precis/train/run_folder.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

Json read_curve(const fs::path& run) {
  Json curve = Json::array();
  if (!fs::exists(run / "metrics.jsonl")) return curve;
  for (const auto& text : split(read_file(run / "metrics.jsonl"), '\n')) {
    const Json line = Json::parse(text, nullptr, false);
    if (line.is_object() && line.value("event", "") == "eval") curve.push_back(line);
  }
  return curve;
}

// The evaluation's settings with the templates of the compressor's training run, if its folder has them.
Config with_own_templates(Config config, const fs::path& run) {
  if (!fs::exists(run / "config.json")) return config;
  const DataConfig trained = read_config(run / "config.json", config.compressor.methods).data;
  config.data.context_template = trained.context_template;
  config.data.query_template = trained.query_template;
  return config;
}

// `name`; if taken, with `suffix` (the run) or a number appended.
std::string unique_name(const std::string& name, const std::string& suffix, std::set<std::string>& used) {
  if (used.insert(name).second) return name;
  const std::string base = suffix.empty() ? name : cat(name, "-", suffix);
  std::string unique = base;
  for (int i = 2; unique == name || !used.insert(unique).second; ++i) unique = cat(base, "-", i);
  return unique;
}

// The frozen decoder alone, without adapters and projector, does the method's work: the baseline that training must
// beat.
std::shared_ptr<Compressor> untrained(const std::string& method, const Config& config, int64_t ratio,
                                      const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                                      const Tokenizer& tokenizer) {
  CompressorConfig c = registry.defaults(method, "published");
  c.ratio = ratio;
  c.segment_length = config.compressor.segment_length;
  c.lora.rank = 0;
  c.projector = "none";
  return registry.make(c, surroundings_of(std::move(decoder), tokenizer, 1));
}

const std::vector<std::string> text_references = {"full", "none", "truncate", "truncate-first"};

bool contains(const std::vector<std::string>& names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool is_text(const std::string& reference) { return contains(text_references, reference); }

void check_references(const std::vector<std::string>& references, const std::vector<std::string>& methods) {
  std::vector<std::string> known = text_references;
  known.insert(known.end(), methods.begin(), methods.end());
  for (const auto& reference : references) {
    if (contains(known, reference)) continue;
    const std::string near = nearest_word(reference, known);
    throw Error({.what = "unknown reference",
                 .where = "eval.references",
                 .expected = "one of " + join(known, ", "),
                 .found = excerpt(reference),
                 .hint = near.empty() ? "" : "did you mean " + near + "?"});
  }
}

constexpr const char* memory_prompt = "memory + query";  // as reports show it

class Evaluation {
 public:
  Evaluation(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
             const Tokenizer& tokenizer, const std::function<void(const Report&)>& on_row)
      : config_(config), registry_(registry), decoder_(std::move(decoder)), tokenizer_(tokenizer), on_row_(on_row) {}

  Report run() {
    check_references(config_.eval.references, registry_.names());
    report_.environment = environment_json(config_);
    report_.bootstrap_samples = config_.eval.bootstrap_samples;
    report_.in_domain = config_.eval.in_domain;
    if (report_.in_domain.empty()) {
      for (const auto& path : config_.data.train) report_.in_domain.push_back(set_name(path));
    }
    report_.passages = read_evaluation_set(config_.data.eval, tokenizer_, config_.data, config_.eval.limit,
                                           config_.eval.max_context_tokens);
    report_.questions = list_questions(report_.passages, config_.eval.limit);
    // What concerns every row is an error of its own: questions that do not serve a task, a bad folder.
    for (const auto& task : config_.eval.tasks) require_task(task, tokenizer_, config_, report_.questions);
    for (const fs::path path : config_.eval.compressors) {
      const fs::path from = config_.eval.checkpoint.empty() ? path : find_checkpoint(path, config_.eval.checkpoint);
      compressors_.push_back(load_compressor(from, registry_, decoder_, tokenizer_));
    }
    for (size_t i = 0; i < compressors_.size(); ++i) add_compressor(*compressors_[i], config_.eval.compressors[i]);
    for (const fs::path folder : config_.eval.memories) add_memories(folder);
    for (const auto& reference : config_.eval.references) add_reference(reference);
    return std::move(report_);
  }

 private:
  void add_compressor(Compressor& compressor, const fs::path& run) {
    const std::unique_ptr<Reading> reading = read_memory(compressor, tokenizer_, with_own_templates(config_, run));
    for (const int64_t ratio : compressor.config().ratio.values) {
      compressor.set_ratio(ratio);
      add({.name = unique_name(cat(compressor.config().method, "-", ratio), run.filename(), names_),
           .method = compressor.config().method,
           .ratio = ratio,
           .prompt = memory_prompt,
           .curve = ratio == compressor.config().ratio ? read_curve(run) : Json::array()},
          *reading);
    }
  }

  void add_memories(const fs::path& folder) {
    StoredMemories stored(folder, config_.compressor, surroundings_of(decoder_, tokenizer_, 1));
    const std::unique_ptr<Reading> reading = read_memory(stored, tokenizer_, config_);
    add({.name = unique_name(cat(stored.config().method, "-", stored.ratio()), folder.filename(), names_),
         .method = stored.config().method,
         .ratio = stored.ratio(),
         .prompt = memory_prompt},
        *reading);
  }

  void add_reference(const std::string& reference) {
    const bool shortened = reference != "full" && reference != "none";
    std::vector<int64_t> ratios = {0};
    if (shortened) ratios = ratios_of_references();
    for (const int64_t ratio : ratios) {
      const std::string base = is_text(reference) ? reference : "untrained-" + reference;
      ReportRow row{
          .name = unique_name(shortened ? cat(base, "-", ratio) : base, "", names_), .method = base, .ratio = ratio};
      if (is_text(reference)) {
        row.kind = RowKind::text;
        row.prompt = config_.eval.prompt.name;
        add(std::move(row), *read_text(*decoder_, tokenizer_, config_, reference, ratio));
      } else {
        row.prompt = memory_prompt;
        const auto compressor = untrained(reference, config_, ratio, registry_, decoder_, tokenizer_);
        add(std::move(row), *read_memory(*compressor, tokenizer_, config_));
      }
    }
  }

  // All ratios of the compressors, or eval.truncate_ratio.
  std::vector<int64_t> ratios_of_references() const {
    if (config_.eval.truncate_ratio > 0) return {config_.eval.truncate_ratio};
    std::set<int64_t> ratios;
    for (const auto& compressor : compressors_) {
      const auto& own = compressor->config().ratio.values;
      ratios.insert(own.begin(), own.end());
    }
    if (ratios.empty()) return config_.compressor.ratio.values;
    return {ratios.begin(), ratios.end()};
  }

  void add(ReportRow row, Reading& reading) {
    const at::Device device = decoder_->device();
    reset_peak_resident_bytes();
    reset_peak_device_bytes(device);
    for (const auto& task : config_.eval.tasks) {
      const auto failure = failure_of([&] { add_task(row, task, reading); });
      if (!failure) continue;
      log::error(cat(row.name, ", ", task, ": ", *failure));
      row.failures[task] = *failure;
    }
    row.peak_bytes = device.is_cpu() ? peak_resident_bytes() : peak_device_bytes(device);
    report_.rows.push_back(std::move(row));
    if (on_row_) on_row_(report_);
  }

  void add_task(ReportRow& row, const std::string& task, Reading& reading) {
    Progress progress(cat("eval ", row.name, " ", task), static_cast<double>(count_items(task, report_.questions)),
                      "items");
    auto scores = run_task(task, reading, tokenizer_, config_, report_.questions,
                           [&](int64_t done) { progress.update(static_cast<double>(done)); });
    if (!scores) return;
    std::vector<std::string> shown;
    for (const auto& measure : scores->measures) {
      const double value = value_of(measure);
      if (!std::isfinite(value)) {
        throw Error({.what = cat(measure.name, " is not a number"),
                     .where = row.name,
                     .found = cat(value),
                     .hint = "the weights or the memory hold NaN or infinity"});
      }
      shown.push_back(cat(measure.name, " ", fixed(value, 1)));
    }
    log::info(cat(row.name, ", ", task, ": ", join(shown, ", ")));
    row.tasks.push_back(std::move(*scores));
  }

  const Config& config_;
  const CompressorRegistry& registry_;
  std::shared_ptr<const Decoder> decoder_;
  const Tokenizer& tokenizer_;
  const std::function<void(const Report&)>& on_row_;
  std::vector<std::shared_ptr<Compressor>> compressors_;
  std::set<std::string> names_;
  Report report_;
};

}  // namespace

std::optional<std::string> failure_of(const std::function<void()>& f) {
  try {
    f();
    return std::nullopt;
  } catch (const Error& e) {
    if (e.kind() == Error::Kind::interrupted) throw;
    return e.what();
  } catch (const c10::Error& e) {
    return e.what_without_backtrace();
  } catch (const std::bad_alloc&) {
    return "out of memory";
  } catch (const std::exception& e) {
    return cat("internal error: ", e.what());
  }
}

Report evaluate(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                const Tokenizer& tokenizer, const std::function<void(const Report&)>& on_row) {
  return Evaluation(config, registry, std::move(decoder), tokenizer, on_row).run();
}

}  // namespace precis
