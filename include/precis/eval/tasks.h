// What every row of a report is asked (methods.md section 8):
//   qa              answers to questions: exact match, F1, and whether a gold answer stands anywhere in the answer
//   choice          the likeliest of a question's options: accuracy
//   continuation    perplexity of each context's last data.continuation_tokens tokens but the first, behind what is
//                   before them: the same span for every method
//   reconstruction  the context itself from memory: token accuracy, exact match, BLEU-4, ROUGE-1, ROUGE-L
#pragma once

#include "precis/eval/measure.h"
#include "precis/eval/reading.h"

namespace precis {

// A question with its context, as the evaluator deals them out.
struct AskedQuestion {
  const Passage* passage;
  const Question* question;
};
// The first `limit` questions (0: all), in the order of the data.
std::vector<AskedQuestion> list_questions(const std::vector<Passage>& passages, int64_t limit);

struct TaskScores {
  std::string task;
  std::vector<Measure> measures;        // the first one is the task's main score
  std::vector<int64_t> groups;          // of each item, its context
  std::vector<std::string> ids, texts;  // of each item, what was answered
  ReadingCost cost;                     // qa only
};

using OnProgress = std::function<void(int64_t done)>;

// Items of a task: its questions, or the contexts of its questions.
int64_t count_items(const std::string& task, const std::vector<AskedQuestion>& questions);

// Runs a task; nothing where it cannot be asked of this reading. Contexts too short for a continuation, and questions
// without options where eval.options is empty, are an Error.
std::optional<TaskScores> run_task(const std::string& task, Reading& reading, const Tokenizer& tokenizer,
                                   const Config& config, const std::vector<AskedQuestion>& questions,
                                   const OnProgress& progress = {});

}  // namespace precis
