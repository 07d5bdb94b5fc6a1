#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "precis/core/markdown.h"
#include "precis/core/strings.h"
#include "precis/eval/evaluator.h"
#include "precis/eval/measure.h"
#include "precis/sweep/sweep.h"

namespace precis {
namespace {

using Lines = std::vector<const Json*>;

std::vector<std::string> distinct(const std::vector<Json>& results, const char* key) {
  std::vector<std::string> out;
  for (const Json& line : results) {
    const std::string value = line.at(key);
    if (std::find(out.begin(), out.end(), value) == out.end()) out.push_back(value);
  }
  return out;
}

// The lines of one data set by method and ratio: one per seed; for a reference, which has no seed, the newest.
std::map<std::pair<std::string, int64_t>, Lines> by_method(const std::vector<Json>& results, const std::string& data) {
  std::map<std::pair<std::string, int64_t>, Lines> out;
  for (const Json& line : results) {
    if (line.at("data") != data) continue;
    Lines& lines = out[{line.at("method"), line.at("ratio")}];
    if (line.at("reference")) lines.clear();
    lines.push_back(&line);
  }
  return out;
}

// The lines that have scores of a task.
Lines having(const Lines& lines, const std::string& task) {
  Lines out;
  std::copy_if(lines.begin(), lines.end(), std::back_inserter(out),
               [&](const Json* line) { return line->at("row").at("tasks").contains(task); });
  return out;
}

// Mean over seeds, with the standard deviation if there are several.
std::string mean_and_spread(const std::vector<double>& values, int digits = 1) {
  if (values.empty()) return "";
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / static_cast<double>(values.size());
  for (const double v : values) squares += (v - mean) * (v - mean);
  if (values.size() == 1) return fixed(mean, digits);
  return cat(fixed(mean, digits), " ± ", fixed(std::sqrt(squares / static_cast<double>(values.size() - 1)), digits));
}

// A task's main measure pooled over all seeds: items of one context are drawn together, across seeds.
struct Pooled {
  Measure measure;
  std::vector<int64_t> groups;
};
std::optional<Pooled> pooled(const Lines& lines, const std::string& task) {
  Pooled out;
  for (const Json* line : lines) {
    if (!line->at("items").contains(task)) return std::nullopt;
    const Json& items = line->at("items").at(task);
    for (const Json& sums : items.at("sums")) {
      const bool numbers = std::all_of(sums.begin(), sums.end(), [](const Json& sum) { return sum.is_number(); });
      if (!numbers) return std::nullopt;
      out.measure.items.push_back(sums.get<std::vector<double>>());
    }
    for (const Json& group : items.at("groups")) out.groups.push_back(group);
    const std::string name = items.at("measure");
    out.measure.name = name;
    if (name == "perplexity") {
      out.measure.value = [](const std::vector<double>& sums) { return std::exp(-sums[0] / sums[1]); };
    } else {
      out.measure.value = [](const std::vector<double>& sums) { return 100 * sums[0] / sums[1]; };
    }
  }
  return out;
}

constexpr int64_t samples = 1000;

std::string in_brackets(const Interval& interval) {
  return cat("[", fixed(interval.low, 1), ", ", fixed(interval.high, 1), "]");
}

std::vector<std::string> tasks_of(const std::map<std::pair<std::string, int64_t>, Lines>& rows) {
  std::set<std::string> tasks;
  for (const auto& [key, lines] : rows) {
    for (const Json* line : lines) {
      for (const auto& [task, scores] : line->at("row").at("tasks").items()) tasks.insert(task);
    }
  }
  return {tasks.begin(), tasks.end()};
}

std::string ratio_text(int64_t ratio) { return ratio > 0 ? cat(ratio, "x") : ""; }

std::string quality_table(const std::map<std::pair<std::string, int64_t>, Lines>& rows, const std::string& task) {
  std::vector<std::string> head = {"method", "ratio", "seeds"};
  std::vector<std::vector<std::string>> body;
  for (const auto& [key, all_lines] : rows) {
    const Lines lines = having(all_lines, task);
    if (lines.empty()) continue;
    const Json& measures = lines.front()->at("row").at("tasks").at(task).at("measures");
    if (body.empty()) {
      for (const auto& [name, score] : measures.items()) head.push_back(name);
      head.insert(head.end(), {"95 % of the first", "share of the gap %"});
    }
    std::vector<std::string> cells = {key.first, ratio_text(key.second), cat(lines.size())};
    for (const auto& [name, score] : measures.items()) {
      std::vector<double> values;
      for (const Json* line : lines) {
        const Json& value = line->at("row").at("tasks").at(task).at("measures").at(name).at("value");
        if (value.is_number()) values.push_back(value);  // null: not a number
      }
      cells.push_back(mean_and_spread(values));
    }
    const auto all = pooled(lines, task);
    cells.push_back(all ? in_brackets(bootstrap_interval(all->measure, all->groups, samples)) : "");
    const auto none = rows.find({"none", 0}), full = rows.find({"full", 0});
    const auto main_of = [&](const Lines& l) -> std::optional<double> {
      const auto p = pooled(l, task);
      return p ? std::optional(value_of(p->measure)) : std::nullopt;
    };
    std::string share;
    if (none != rows.end() && full != rows.end()) {
      const auto low = main_of(none->second), high = main_of(full->second), own = main_of(lines);
      if (low && high && own && *low != *high) share = fixed(100 * (*own - *low) / (*high - *low), 0);
    }
    cells.push_back(share);
    body.push_back(std::move(cells));
  }
  MarkdownTable table(std::move(head));
  for (auto& cells : body) table.add(std::move(cells));
  return cat("\n### ", task, "\n", table.text());
}

// The score of a learning curve. Greater is better: losses are negated.
struct CurveScore {
  std::string name;
  bool lower_is_better() const { return name.ends_with("loss_nats") || name.ends_with("perplexity"); }
  std::optional<double> of(const Json& point) const {
    if (!point.contains(name) || !point.at(name).is_number()) return std::nullopt;
    return lower_is_better() ? -point.at(name).get<double>() : point.at(name).get<double>();
  }
  std::optional<double> best_of(const Json& curve) const {
    std::optional<double> best;
    for (const Json& point : curve) {
      if (const auto value = of(point); value && (!best || *value > *best)) best = value;
    }
    return best;
  }
};

// The first point of a learning curve whose score is at least `target`.
const Json* first_reaching(const Json& curve, const CurveScore& score, double target) {
  for (const Json& point : curve) {
    if (const auto value = score.of(point); value && *value >= target) return &point;
  }
  return nullptr;
}

std::string target_table(const std::map<std::pair<std::string, int64_t>, Lines>& rows, const std::string& baseline,
                         const CurveScore& score) {
  MarkdownTable table({"method", "ratio", "seed", "baseline best", "baseline", "method", "saved % (seconds)",
                       "saved % (steps)", "saved % (tokens)"});
  const auto when = [](const Json& point) {
    return cat(fixed(point.at("train_seconds").get<double>(), 0), " s, ", point.at("step").dump(), " steps");
  };
  for (const auto& [key, lines] : rows) {
    const auto reference = rows.find({baseline, key.second});
    if (key.first == baseline || reference == rows.end()) continue;
    for (const Json* line : lines) {
      for (const Json* other : reference->second) {
        const Json &curve = line->at("row").at("learning_curve"), &base = other->at("row").at("learning_curve");
        if (line->at("seed") != other->at("seed") || curve.empty() || base.empty()) continue;
        const auto target = score.best_of(base);
        if (!target) continue;
        std::vector<std::string> cells = {key.first, ratio_text(key.second), line->at("seed").dump()};
        if (*target == 0) {  // not a meaningful target
          cells.push_back("0: nothing learned");
          table.add(std::move(cells));
          continue;
        }
        const Json *reached = first_reaching(base, score, *target), *own = first_reaching(curve, score, *target);
        cells.insert(cells.end(), {fixed(std::abs(*target), score.lower_is_better() ? 3 : 1), when(*reached),
                                   own == nullptr ? "not reached" : when(*own)});
        for (const char* unit : {"train_seconds", "step", "train_tokens"}) {
          if (own == nullptr) break;
          cells.push_back(fixed(100 * (1 - own->at(unit).get<double>() / reached->at(unit).get<double>()), 0));
        }
        table.add(std::move(cells));
      }
    }
  }
  if (table.empty()) return "";
  return cat("\n### Time to the best ", score.name, " of ", baseline, "\n", table.text());
}

std::string difference_table(const std::map<std::pair<std::string, int64_t>, Lines>& rows,
                             const std::string& baseline) {
  MarkdownTable table({"method", "ratio", "measure", "difference [95 %]"});
  for (const auto& [key, lines] : rows) {
    const auto base = rows.find({baseline, key.second});
    if (key.first == baseline || base == rows.end() || lines.front()->at("reference")) continue;
    for (const auto& task : tasks_of(rows)) {
      const auto a = pooled(lines, task), b = pooled(base->second, task);
      if (!a || !b || a->groups != b->groups) continue;
      table.add({key.first, ratio_text(key.second), cat(task, " ", a->measure.name),
                 cat(fixed(value_of(a->measure) - value_of(b->measure), 1), " ",
                     in_brackets(bootstrap_difference(a->measure, b->measure, a->groups, samples)))});
    }
  }
  if (table.empty()) return "";
  return cat("\n### Difference to ", baseline, "\nPaired over the same contexts and seeds.\n\n", table.text());
}

double median_of(const Json& cost, const char* key) {
  return cost.at(key).is_null() ? 0 : cost.at(key).at("median").get<double>();
}

std::string cost_table(const std::map<std::pair<std::string, int64_t>, Lines>& rows) {
  MarkdownTable table({"method", "ratio", "compress ms / context", "prefill ms / question", "decode ms / token",
                       "bytes / source token", "peak MB", "break-even questions"});
  for (const auto& [key, lines] : rows) {
    if (!lines.front()->at("row").contains("cost")) continue;
    std::map<std::string, std::vector<double>> values;
    std::string break_even_questions;
    for (const Json* line : lines) {
      const Json& cost = line->at("row").at("cost");
      for (const char* name :
           {"compress_milliseconds_per_context", "prefill_milliseconds_per_question", "decode_milliseconds_per_token"})
        values[name].push_back(median_of(cost, name));
      values["bytes"].push_back(cost.at("bytes_per_source_token"));
      values["peak"].push_back(line->at("row").at("peak_mb"));
    }
    const auto full = rows.find({"full", 0});
    if (full != rows.end() && full->second.front()->at("row").contains("cost") && !lines.front()->at("reference")) {
      const Json questions =
          break_even(lines.front()->at("row").at("cost"), full->second.front()->at("row").at("cost")).questions;
      break_even_questions = questions.is_null() ? "never" : fixed(questions.get<double>(), 0);
    }
    table.add({key.first, ratio_text(key.second), mean_and_spread(values["compress_milliseconds_per_context"]),
               mean_and_spread(values["prefill_milliseconds_per_question"]),
               mean_and_spread(values["decode_milliseconds_per_token"], 2), mean_and_spread(values["bytes"], 0),
               mean_and_spread(values["peak"], 0), break_even_questions});
  }
  if (table.empty()) return "";
  return cat(
      "\n### Cost\nMedians over batches. Break-even: questions per context after which compressing costs less than "
      "reading it in full.\n\n",
      table.text());
}

}  // namespace

std::string sweep_markdown(const std::vector<Json>& results, const std::string& baseline, const std::string& score) {
  std::string text = "# Sweep\n";
  std::map<std::string, int64_t> environments;  // with the number of rows from each
  for (const Json& line : results) ++environments[line.at("environment").dump()];
  for (const auto& [environment, rows] : environments) text += cat("- ", rows, " rows: ", environment, "\n");
  for (const auto& data : distinct(results, "data")) {
    const auto rows = by_method(results, data);
    if (!data.empty()) text += cat("\n## ", data, "\n");
    for (const auto& task : tasks_of(rows)) text += quality_table(rows, task);
    if (!baseline.empty()) text += target_table(rows, baseline, {score}) + difference_table(rows, baseline);
    text += cost_table(rows);
  }
  return text;
}

std::string sweep_csv(const std::vector<Json>& results) {
  std::string text = "cell,method,ratio,seed,data,task,measure,value,low,high,train_seconds,train_steps\n";
  for (const Json& line : results) {
    const Json& training = line.at("training");
    for (const auto& [task, scores] : line.at("row").at("tasks").items()) {
      for (const auto& [name, score] : scores.at("measures").items()) {
        text += cat(line.at("cell").get<std::string>(), ",", line.at("method").get<std::string>(), ",",
                    line.at("ratio").dump(), ",", line.at("seed").dump(), ",", line.at("data").get<std::string>(), ",",
                    task, ",", name, ",", score.at("value").dump(), ",", score.at("low").dump(), ",",
                    score.at("high").dump(), ",", training.is_null() ? "" : training.at("seconds").dump(), ",",
                    training.is_null() ? "" : training.at("steps").dump(), "\n");
      }
    }
  }
  return text;
}

}  // namespace precis
