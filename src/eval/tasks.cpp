#include "precis/eval/tasks.h"

#include <torch/types.h>

#include <cmath>
#include <map>

#include "precis/core/error.h"
#include "precis/core/interrupt.h"
#include "precis/core/strings.h"
#include "precis/eval/answer_metrics.h"
#include "precis/eval/metrics.h"
#include "precis/eval/text_metrics.h"
#include "precis/model/generate.h"

namespace precis {
namespace {

// The distinct contexts of the questions, in order, and the index of each question's context.
struct Contexts {
  std::vector<const Passage*> passages;
  std::vector<int64_t> of_question;

  explicit Contexts(const std::vector<AskedQuestion>& questions) {
    std::map<const Passage*, int64_t> index;
    for (const auto& asked : questions) {
      const auto [place, is_new] = index.emplace(asked.passage, static_cast<int64_t>(passages.size()));
      if (is_new) passages.push_back(asked.passage);
      of_question.push_back(place->second);
    }
  }
};

const std::vector<std::string>& options_of(const Config& config, const Question& question) {
  const auto& options = question.options.empty() ? config.eval.options : question.options;
  if (options.size() >= 2) return options;
  throw Error({.what = "a question without options",
               .where = question.id,
               .expected = "\"options\" in the question, or eval.options"});
}

// A context's ids; its last data.continuation_tokens are the continuation.
TokenIds ids_to_continue(const Passage& passage, const Tokenizer& tokenizer, const DataConfig& data) {
  TokenIds ids = context_ids(tokenizer, data, passage.context, false);
  const auto needed = static_cast<size_t>(data.continuation_tokens + 1);
  if (data.continuation_tokens >= 2 && ids.size() >= needed) return ids;
  throw Error(
      {.what = "a context is too short for its continuation",
       .where = excerpt(passage.context),
       .expected = cat("more than ", data.continuation_tokens, " tokens (data.continuation_tokens, at least 2)"),
       .found = cat(ids.size())});
}

class TaskRunner {
 public:
  TaskRunner(Reading& reading, const Tokenizer& tokenizer, const Config& config, const OnProgress& progress)
      : reading_(reading), tokenizer_(tokenizer), config_(config), progress_(progress) {}

 protected:
  // Calls work(begin, end) over batches of `n` items.
  template <class Work>
  void in_batches(size_t n, const Work& work) {
    const c10::InferenceMode inference;
    const InterruptGuard stops_between_batches;
    const auto batch = static_cast<size_t>(config_.eval.batch);
    for (size_t begin = 0; begin < n; begin += batch) {
      if (interrupted()) throw Error({.what = "interrupted"}, Error::Kind::interrupted);
      const size_t end = std::min(n, begin + batch);
      work(begin, end);
      if (progress_) progress_(static_cast<int64_t>(end));
    }
  }

  Reading& reading_;
  const Tokenizer& tokenizer_;
  const Config& config_;
  const OnProgress& progress_;
};

class QaTask : TaskRunner {
 public:
  using TaskRunner::TaskRunner;

  TaskScores run(const std::vector<AskedQuestion>& questions) {
    TaskScores out{.task = "qa", .groups = Contexts(questions).of_question};
    in_batches(questions.size(), [&](size_t begin, size_t end) { answer(questions, begin, end, out); });
    std::vector<const Question*> asked;
    for (const auto& question : questions) {
      asked.push_back(question.question);
      out.ids.push_back(question.question->id);
    }
    for (const auto& metric : config_.eval.metrics) out.measures.push_back(answer_measure(metric, out.texts, asked));
    return out;
  }

 private:
  void answer(const std::vector<AskedQuestion>& questions, size_t begin, size_t end, TaskScores& out) {
    std::vector<Ask> asks;
    for (size_t i = begin; i < end; ++i) asks.push_back({questions[i].passage, questions[i].question->text, {}, {}});
    const DecoderInput input = reading_.ask(asks, out.cost);
    const GenerateOptions options{.max_new_tokens = config_.eval.max_new_tokens,
                                  .end_ids = tokenizer_.end_ids,
                                  .vocabulary = tokenizer_.vocabulary_size()};
    const std::string& cut = config_.eval.answer_cut;
    std::map<int64_t, bool> begun;  // whether a row has text
    const auto goes_on = [&](int64_t row, int64_t id) {
      const std::string bytes = tokenizer_.token_bytes(id);
      const bool has_newline = bytes.find('\n') != std::string::npos, blank = trim(bytes).empty();
      if (cut == "none") return true;
      if (cut == "line" && has_newline && blank && !begun[row]) return true;
      begun[row] = begun[row] || !blank;
      return !has_newline;
    };
    GenerateSeconds seconds;
    ReadingCost::Batch& cost = out.cost.batches.back();
    for (const auto& ids : generate(reading_.decoder(), input, options, goes_on, &seconds)) {
      out.texts.push_back(cut_answer(tokenizer_.decode(ids, true), config_.eval.answer_cut));
      cost.generated_tokens += static_cast<int64_t>(ids.size());
    }
    cost.prefill_seconds = seconds.prefill;
    cost.decode_seconds = seconds.decode;
  }
};

class ChoiceTask : TaskRunner {
 public:
  using TaskRunner::TaskRunner;

  TaskScores run(const std::vector<AskedQuestion>& questions) {
    TaskScores out{.task = "choice", .groups = Contexts(questions).of_question};
    std::vector<double> right;
    in_batches(questions.size(), [&](size_t begin, size_t end) {
      for (const std::string& picked : pick(questions, begin, end)) {
        const Question& question = *questions[right.size()].question;
        right.push_back(score_answer(picked, question.answers).exact_match);
        out.ids.push_back(question.id);
        out.texts.push_back(picked);
      }
    });
    out.measures = {mean_percent("accuracy_percent", right)};
    return out;
  }

 private:
  // For each question, the option with the highest mean log-probability of its tokens.
  std::vector<std::string> pick(const std::vector<AskedQuestion>& questions, size_t begin, size_t end) {
    std::vector<Ask> asks;
    std::vector<size_t> of_question;
    for (size_t i = begin; i < end; ++i) {
      for (const std::string& option : options_of(config_, *questions[i].question)) {
        asks.push_back({questions[i].passage,
                        questions[i].question->text,
                        {},
                        encode_template(tokenizer_, config_.data.answer_template, {.answer = option})});
        of_question.push_back(i);
      }
    }
    ReadingCost unused;
    const auto likelihoods = row_likelihoods(reading_.decoder(), reading_.ask(asks, unused));
    std::vector<std::string> picked(end - begin);
    std::vector<double> best(end - begin, -std::numeric_limits<double>::infinity());
    std::vector<size_t> option_index(end - begin, 0);
    for (size_t a = 0; a < asks.size(); ++a) {
      const size_t q = of_question[a] - begin, option = option_index[q]++;
      const double mean = likelihoods[a].log_probability / static_cast<double>(likelihoods[a].tokens);
      if (mean <= best[q]) continue;
      best[q] = mean;
      picked[q] = options_of(config_, *questions[of_question[a]].question)[option];
    }
    return picked;
  }
};

// Likelihood measures over rows of labels: nats per token, its exponential, and next-token accuracy.
struct LikelihoodMeasures {
  Measure perplexity, loss, accuracy;

  explicit LikelihoodMeasures(const std::string& prefix)
      : perplexity{prefix + "perplexity", {}, [](const std::vector<double>& s) { return std::exp(-s[0] / s[1]); }},
        loss{prefix + "loss_nats", {}, [](const std::vector<double>& s) { return -s[0] / s[1]; }},
        accuracy(mean_percent(prefix + "next_token_accuracy_percent", {})) {}

  void add(const RowLikelihood& row, TaskScores& out) {
    const auto tokens = static_cast<double>(row.tokens);
    out.groups.push_back(static_cast<int64_t>(out.groups.size()));
    out.ids.push_back(cat("context-", out.ids.size()));
    perplexity.items.push_back({row.log_probability, tokens});
    loss.items.push_back({row.log_probability, tokens});
    accuracy.items.push_back({static_cast<double>(row.right), tokens});
  }
};

class ContinuationTask : TaskRunner {
 public:
  using TaskRunner::TaskRunner;

  TaskScores run(const std::vector<const Passage*>& passages) {
    TaskScores out{.task = "continuation"};
    LikelihoodMeasures measures("");
    in_batches(passages.size(), [&](size_t begin, size_t end) {
      std::vector<TokenIds> contexts;
      for (size_t i = begin; i < end; ++i) contexts.push_back(ids_of(*passages[i]));
      const auto rows = row_likelihoods(reading_.decoder(), reading_.go_on(contexts, config_.data.continuation_tokens));
      for (const auto& row : rows) measures.add(row, out);
    });
    out.measures = {measures.perplexity, measures.loss, measures.accuracy};
    return out;
  }

 private:
  TokenIds ids_of(const Passage& passage) const { return ids_to_continue(passage, tokenizer_, config_.data); }
};

// Reconstruction as in training: each token is predicted after the correct preceding ones.
class AutoencodingTask : TaskRunner {
 public:
  using TaskRunner::TaskRunner;

  std::optional<TaskScores> run(const std::vector<const Passage*>& passages) {
    TaskScores out{.task = "autoencoding"};
    LikelihoodMeasures measures("autoencoding_");
    bool asked = true;
    in_batches(passages.size(), [&](size_t begin, size_t end) {
      std::vector<TokenIds> contexts;
      for (size_t i = begin; i < end; ++i)
        contexts.push_back(context_ids(tokenizer_, config_.data, passages[i]->context, false));
      const auto input = reading_.reconstruct_supervised(contexts);
      asked = asked && input.has_value();
      if (!asked) return;
      for (const auto& row : row_likelihoods(reading_.decoder(), *input)) measures.add(row, out);
    });
    if (!asked) return std::nullopt;
    out.measures = {measures.accuracy, measures.loss, measures.perplexity};
    return out;
  }
};

class ReconstructionTask : TaskRunner {
 public:
  using TaskRunner::TaskRunner;

  std::optional<TaskScores> run(const std::vector<const Passage*>& passages) {
    TaskScores out{.task = "reconstruction"};
    std::vector<double> exact, rouge_1, rouge_l;
    Measure accuracy = mean_percent("token_accuracy_percent", {});
    Measure bleu{"bleu_4", {}, [](const std::vector<double>& sums) { return bleu_score(sums); }};
    bool asked = true;
    in_batches(passages.size(), [&](size_t begin, size_t end) {
      std::vector<TokenIds> contexts;
      int64_t longest = 0;
      for (size_t i = begin; i < end; ++i) {
        contexts.push_back(context_ids(tokenizer_, config_.data, passages[i]->context, false));
        longest = std::max(longest, static_cast<int64_t>(contexts.back().size()));
      }
      const auto input = reading_.reconstruct(contexts);
      asked = asked && input.has_value();
      if (!asked) return;
      const auto rows = generate(
          reading_.decoder(), *input,
          {.max_new_tokens = longest, .end_ids = tokenizer_.end_ids, .vocabulary = tokenizer_.vocabulary_size()});
      for (size_t i = 0; i < rows.size(); ++i) {
        const TokenIds& expected = contexts[i];
        int64_t same = 0;
        for (size_t t = 0; t < std::min(expected.size(), rows[i].size()); ++t)
          same += expected[t] == rows[i][t] ? 1 : 0;
        accuracy.items.push_back({static_cast<double>(same), static_cast<double>(expected.size())});
        exact.push_back(rows[i] == expected ? 1 : 0);
        const std::string text = tokenizer_.decode(rows[i], true), gold = tokenizer_.decode(expected, true);
        bleu.items.push_back(bleu_counts(text, {gold}));
        const RougeScore score = rouge(text, gold);
        rouge_1.push_back(score.rouge_1);
        rouge_l.push_back(score.rouge_l);
        out.groups.push_back(static_cast<int64_t>(out.groups.size()));
        out.ids.push_back(cat("context-", out.ids.size()));
        out.texts.push_back(text);
      }
    });
    if (!asked) return std::nullopt;
    out.measures = {accuracy, mean_percent("exact_match_percent", exact), bleu,
                    mean_percent("rouge_1_percent", rouge_1), mean_percent("rouge_l_percent", rouge_l)};
    return out;
  }
};

}  // namespace

std::vector<AskedQuestion> list_questions(const std::vector<Passage>& passages, int64_t limit) {
  std::vector<AskedQuestion> out;
  for (const auto& passage : passages) {
    for (const auto& question : passage.questions) {
      if (limit > 0 && static_cast<int64_t>(out.size()) == limit) return out;
      out.push_back({&passage, &question});
    }
  }
  return out;
}

int64_t count_items(const std::string& task, const std::vector<AskedQuestion>& questions) {
  const bool by_question = task == "qa" || task == "choice";
  return static_cast<int64_t>(by_question ? questions.size() : Contexts(questions).passages.size());
}

void require_task(const std::string& task, const Tokenizer& tokenizer, const Config& config,
                  const std::vector<AskedQuestion>& questions) {
  check(!questions.empty(), "require_task: at least one question");
  const Question& first = *questions.front().question;
  if (task == "qa" && first.text.empty() && first.answers.empty())
    throw Error({.what = "a prepared corpus has no questions",
                 .where = "eval.tasks",
                 .expected = "continuation, autoencoding or reconstruction",
                 .found = "qa"});
  for (const auto& asked : questions) {
    if (task == "choice") options_of(config, *asked.question);
  }
  if (task != "continuation") return;
  for (const Passage* passage : Contexts(questions).passages) ids_to_continue(*passage, tokenizer, config.data);
}

std::optional<TaskScores> run_task(const std::string& task, Reading& reading, const Tokenizer& tokenizer,
                                   const Config& config, const std::vector<AskedQuestion>& questions,
                                   const OnProgress& progress) {
  require_task(task, tokenizer, config, questions);
  const Contexts contexts(questions);
  const auto run = [&]() -> std::optional<TaskScores> {
    if (task == "qa") return QaTask(reading, tokenizer, config, progress).run(questions);
    if (task == "choice") return ChoiceTask(reading, tokenizer, config, progress).run(questions);
    if (task == "continuation") return ContinuationTask(reading, tokenizer, config, progress).run(contexts.passages);
    if (task == "autoencoding") return AutoencodingTask(reading, tokenizer, config, progress).run(contexts.passages);
    check(task == "reconstruction", "run_task: unknown task");
    return ReconstructionTask(reading, tokenizer, config, progress).run(contexts.passages);
  };
  auto scores = run();
  if (!scores) return scores;
  for (const int64_t context : scores->groups)
    scores->sets.push_back(contexts.passages[static_cast<size_t>(context)]->set);
  return scores;
}

}  // namespace precis
