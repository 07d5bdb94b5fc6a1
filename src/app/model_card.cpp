#include "model_card.h"

#include <filesystem>
#include <sstream>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/markdown.h"
#include "precis/core/strings.h"
#include "precis/train/run_folder.h"

namespace precis {
namespace fs = std::filesystem;

std::string last_part(const std::string& path) {
  fs::path whole = fs::path(path).lexically_normal();
  if (!whole.has_filename()) whole = whole.parent_path();  // a slash at the end
  return (whole.extension() == ".gguf" ? whole.stem() : whole.filename()).string();
}

namespace {

// The command line with file names in place of paths.
std::string without_folders(const std::string& command) {
  std::string out;
  for (const char c : command) {
    if (c != '/') {
      out += c;
      continue;
    }
    const size_t before = out.find_last_of(" =,:\"'[");
    out.resize(before == std::string::npos ? 0 : before + 1);
  }
  return out;
}

std::string names_of(const std::vector<std::string>& paths) {
  std::vector<std::string> names;
  for (const auto& path : paths) names.push_back(last_part(path));
  return join(names, ", ");
}

// The step of the exported tensors; -1: unknown.
int64_t exported_step(const OpenRun& run, const ExportCommand& command) {
  const fs::path folder(command.run.compressor);
  if (!fs::exists(folder / "checkpoints")) return -1;
  const fs::path checkpoint = find_checkpoint(folder, command.run.checkpoint.empty() ? "last" : command.run.checkpoint);
  const fs::path file = checkpoint / "state.json";
  const RunState state = run_state_from_json(read_json(file), file.string());
  const bool best = command.run.checkpoint.empty() && !run.config.train.keep_best.empty() && state.best_step >= 0;
  return best ? state.best_step : state.step;
}

// The last evaluation up to `step` in metrics.jsonl; null: none.
Json evaluation_at(const fs::path& run, int64_t step) {
  Json last;
  const fs::path file = run / "metrics.jsonl";
  if (!fs::exists(file)) return last;
  for (const auto& line : split(read_file(file), '\n')) {
    if (trim(line).empty()) continue;
    Json event = parse_json(line, file.string());
    if (event.value("event", "") == "eval" && event.value("step", int64_t{0}) <= step) last = std::move(event);
  }
  return last;
}

std::string header(const CompressorConfig& c, const std::string& base_name) {
  std::ostringstream out;
  out << "---\nlibrary_name: precis\nbase_model: " << Json(base_name).dump()
      << "\nbase_model_relation: adapter\ntags:\n";
  for (const auto& tag : {std::string("precis"), std::string("context-compression"),
                          std::string(c.carrier == "kv" ? "kv-cache" : "soft-prompt"), c.method})
    out << "- " << tag << "\n";
  out << "---\n";
  return out.str();
}

std::string settings_table(const OpenRun& run, const std::string& base_name) {
  const Compressor& compressor = *run.compressor;
  const CompressorConfig& c = compressor.config();
  std::vector<std::string> ratios;
  for (const int64_t ratio : c.ratio.values) ratios.push_back(cat(ratio));
  MarkdownTable table({"", ""});
  table.add({"method", cat(c.method, ", ", c.form, " form")});
  table.add({"ratio", join(ratios, ", ") + " text tokens per entry"});
  table.add({"memory", c.carrier == "kv" ? "keys and values of every layer" : "soft-prompt rows"});
  table.add({"segments", cat(c.segment_length, " tokens")});
  table.add({"base model", cat(base_name, " (", compressor.decoder().config().family, ", ",
                               compressor.decoder().config().parameters(), " parameters, frozen)")});
  table.add({"trained parameters", cat(compressor.trained_parameters())});
  return table.text();
}

std::string objectives_text(const ObjectiveConfig& o) {
  std::vector<std::string> parts;
  for (const auto& [name, weight] :
       {std::pair{"ae", o.ae}, std::pair{"lm", o.lm}, std::pair{"qa", o.qa}, std::pair{"distill", o.distill}}) {
    if (weight > 0) parts.push_back(cat(name, " ", weight));
  }
  return join(parts, ", ");
}

std::string training_section(const OpenRun& run, const ExportCommand& command) {
  const fs::path folder(command.run.compressor);
  if (!fs::exists(folder / "config.json")) return "";
  const Config& config = run.config;
  const int64_t step = exported_step(run, command);
  MarkdownTable table({"", ""});
  table.add({"data", names_of(config.data.train)});
  for (const auto& stage : config.train.stages) {
    const std::string data = stage.data.empty() ? "" : ": " + names_of(stage.data);
    table.add({"stage", cat(stage.name, ", ", stage.steps, " steps", data)});
  }
  table.add({"objectives", objectives_text(config.train.objectives)});
  if (step >= 0) table.add({"steps", cat(step)});
  table.add({"batch", cat(config.train.batch, " contexts")});
  table.add({"learning rate", cat(config.train.lr)});
  table.add({"seed", cat(config.run.seed)});
  std::string text = "\n## Training\n" + table.text();
  if (fs::exists(folder / "environment.json")) {
    const Json environment = read_json(folder / "environment.json");
    text += cat("\nprecis ", environment.value("precis", ""), ", revision ", environment.value("git_revision", ""),
                ":\n```\n", without_folders(environment.value("command", "")), "\n```\n");
  }
  const Json scores = evaluation_at(folder, step);
  if (scores.is_null()) return text;
  MarkdownTable measures({"measure", "value"});
  for (const auto& [name, value] : scores.items()) {
    if (value.is_number() && name != "step" && !name.starts_with("train_")) measures.add({name, value.dump()});
  }
  text += cat("\n## Scores\nAt step ", scores.value("step", int64_t{0}), ", on ", names_of(config.data.eval), ":\n\n",
              measures.text());
  return text;
}

constexpr const char* usage = R"(
## Use
`compress.py` in this folder needs torch, safetensors and transformers 5.2 or newer.
```python
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from compress import Compressor

model = AutoModelForCausalLM.from_pretrained(BASE_MODEL, dtype=torch.float32)
compressor = Compressor.from_pretrained(".", model, AutoTokenizer.from_pretrained(BASE_MODEL))
memory = compressor.compress(open("report.txt").read())
print(compressor.answer(memory, "Who signed it?", max_new_tokens=32))
```
`compressor.generate(memory, prompt)` continues any prompt; `compressor.inputs(memory, prompt)` gives the arguments of
`model.generate`.
)";

}  // namespace

std::string model_card(const OpenRun& run, const ExportCommand& command, const std::string& base_name) {
  const CompressorConfig& c = run.compressor->config();
  return cat(header(c, base_name), "# ", c.method, " at ", c.ratio.values.front(), "x for ", base_name,
             "\nCompresses long contexts into memory entries that the frozen base model reads in place of the text. "
             "Trained with precis.\n\n",
             settings_table(run, base_name), usage, training_section(run, command));
}

}  // namespace precis
