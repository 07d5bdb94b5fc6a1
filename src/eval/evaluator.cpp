#include "precis/eval/evaluator.h"

#include <set>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/progress.h"
#include "precis/core/strings.h"
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

// The evaluation's settings with the templates that the compressor was trained with, where its run folder has them.
Config with_own_templates(Config config, const fs::path& run) {
  if (!fs::exists(run / "config.json")) return config;
  const DataConfig trained = read_config(run / "config.json").data;
  config.data.context_template = trained.context_template;
  config.data.query_template = trained.query_template;
  return config;
}

// `name`, or with `suffix` (which run it is) where it is taken, or with a number.
std::string unique_name(const std::string& name, const std::string& suffix, std::set<std::string>& used) {
  if (used.insert(name).second) return name;
  const std::string base = suffix.empty() ? name : cat(name, "-", suffix);
  std::string unique = base;
  for (int i = 2; unique == name || !used.insert(unique).second; ++i) unique = cat(base, "-", i);
  return unique;
}

}  // namespace

Report evaluate(const Config& config, const CompressorRegistry& registry, std::shared_ptr<const Decoder> decoder,
                const Tokenizer& tokenizer) {
  Report report;
  report.environment = environment_json(config);
  report.passages = read_qa(config.data.eval);
  report.questions = list_questions(report.passages, config.eval.limit);
  // Everything is loaded before anything is answered, so that a bad folder costs no time.
  std::vector<std::shared_ptr<Compressor>> compressors;
  for (const auto& path : config.eval.compressors)
    compressors.push_back(load_compressor(path, registry, decoder, tokenizer));
  std::set<std::string> names;
  const auto add = [&](ReportRow row, const std::function<AnswerSet(const OnProgress&)>& answer) {
    Progress progress("eval " + row.name, static_cast<double>(report.questions.size()), "questions");
    AnswerSet answers = answer([&](int64_t done) { progress.update(static_cast<double>(done)); });
    row.score = score_answers(report.questions, answers.texts);
    row.cost = answers.cost;
    row.answers = std::move(answers.texts);
    log::info(cat(row.name, ": EM ", fixed(row.score.em, 1), ", F1 ", fixed(row.score.f1, 1), " on ",
                  row.score.questions, " questions"));
    report.rows.push_back(std::move(row));
  };
  for (size_t i = 0; i < compressors.size(); ++i) {
    Compressor& compressor = *compressors[i];
    const fs::path run = config.eval.compressors[i];
    const Config own = with_own_templates(config, run);
    for (const int64_t ratio : compressor.config().ratio.values) {
      compressor.set_ratio(ratio);
      ReportRow row{.name = unique_name(cat(compressor.config().method, "-", ratio), run.filename(), names),
                    .method = compressor.config().method,
                    .ratio = ratio,
                    .prompt = "memory + query",
                    .curve = ratio == compressor.config().ratio ? read_curve(run) : Json::array()};
      add(std::move(row),
          [&](const OnProgress& p) { return answer_from_memory(compressor, tokenizer, own, report.questions, p); });
    }
  }
  const int64_t ratio = config.eval.truncate_ratio > 0 ? config.eval.truncate_ratio
                        : compressors.empty()          ? int64_t{config.compressor.ratio}
                                                       : int64_t{compressors[0]->config().ratio};
  for (const auto& reference : config.eval.references) {
    const int64_t shown = reference == "truncate" ? ratio : 0;
    ReportRow row{.name = unique_name(shown > 0 ? cat(reference, "-", shown) : reference, "", names),
                  .method = reference,
                  .ratio = shown,
                  .prompt = config.eval.prompt.name};
    add(std::move(row), [&](const OnProgress& p) {
      return answer_from_text(*decoder, tokenizer, config, reference, ratio, report.questions, p);
    });
  }
  return report;
}

}  // namespace precis
