// Evaluation tasks, the same for every report row (methods.md section 8):
//   qa              answers to questions: exact match, F1, and whether the answer contains a gold answer
//   choice          the likeliest of a question's options: accuracy
//   continuation    perplexity of each context's last data.continuation_tokens tokens except the first, given the
//                   preceding text: the same span for every method
//   reconstruction  the context itself from memory: token accuracy, exact match, BLEU-4, ROUGE-1, ROUGE-L
#pragma once

#include "precis/eval/measure.h"
#include "precis/eval/reading.h"

namespace precis {

// A question with its context.
struct AskedQuestion {
  const Passage* passage;
  const Question* question;
};
// The first `limit` questions (0: all), in the order of the data.
std::vector<AskedQuestion> list_questions(const std::vector<Passage>& passages, int64_t limit);

struct TaskScores {
  std::string task;
  std::vector<Measure> measures;        // the first one is the task's main score
  std::vector<int64_t> groups;          // each item's context
  std::vector<std::string> ids, texts;  // each item's id and answer
  std::vector<std::string> sets;        // the name of each item's data set
  ReadingCost cost;                     // qa only
};

using OnProgress = std::function<void(int64_t done)>;

// The number of items of a task: its questions, or their contexts.
int64_t count_items(const std::string& task, const std::vector<AskedQuestion>& questions);

// Throws Error if the questions do not serve a task: contexts too short for a continuation, questions without options
// while eval.options is empty, a prepared corpus for qa.
void require_task(const std::string& task, const Tokenizer& tokenizer, const Config& config,
                  const std::vector<AskedQuestion>& questions);

// Runs a task; nothing if this reading does not support it. Throws Error as require_task does.
std::optional<TaskScores> run_task(const std::string& task, Reading& reading, const Tokenizer& tokenizer,
                                   const Config& config, const std::vector<AskedQuestion>& questions,
                                   const OnProgress& progress = {});

}  // namespace precis
