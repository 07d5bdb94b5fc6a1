// Answering questions: from a compressor's memories, or by the plain decoder from full, no, or truncated context.
#pragma once

#include <functional>

#include "precis/compress/compressor.h"
#include "precis/data/batches.h"

namespace precis {

// A question with its context, as the evaluator deals them out.
struct AskedQuestion {
  const Passage* passage;
  const Question* question;
};
// The first `limit` questions (0: all), in the order of the data.
std::vector<AskedQuestion> list_questions(const std::vector<Passage>& passages, int64_t limit);

struct AnswerCost {
  double compress_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
  int64_t generated_tokens = 0;
  int64_t source_tokens = 0, entries = 0, bytes = 0;  // summed over questions: what the decoder holds for the context
};

struct AnswerSet {
  std::vector<std::string> texts;  // one per question, cut
  AnswerCost cost;
};

using OnProgress = std::function<void(int64_t done)>;

// From memory: contexts are compressed once per batch, the query follows the memory.
AnswerSet answer_from_memory(Compressor& compressor, const Tokenizer& tokenizer, const Config& config,
                             const std::vector<AskedQuestion>& questions, const OnProgress& progress = {});

// By the plain decoder with config.eval.prompt. `reference`: "full", "none" or "truncate" (the last 1 / ratio of the
// context's tokens).
AnswerSet answer_from_text(const Decoder& decoder, const Tokenizer& tokenizer, const Config& config,
                           const std::string& reference, int64_t ratio, const std::vector<AskedQuestion>& questions,
                           const OnProgress& progress = {});

// Mean exact match and F1 in percent.
struct QaScore {
  double em = 0, f1 = 0, em_standard_error = 0;
  int64_t questions = 0;
};
QaScore score_answers(const std::vector<AskedQuestion>& questions, const std::vector<std::string>& texts);

}  // namespace precis
