// How a row of the report gives the decoder its context: as a compressor's memory, or as text (the references). Tasks
// ask a Reading and know no method.
#pragma once

#include <set>

#include "precis/compress/compressor.h"
#include "precis/data/qa.h"
#include "precis/data/templates.h"

namespace precis {

// What a row costs, a value per batch.
struct ReadingCost {
  struct Batch {
    double compress_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
    int64_t contexts = 0, questions = 0, generated_tokens = 0;
  };
  std::vector<Batch> batches;
  int64_t source_tokens = 0, entries = 0, bytes = 0;  // summed over questions: what the decoder holds for the context
};

// A question about a context, or the text that goes on behind it.
struct Ask {
  const Passage* passage = nullptr;
  std::string question;  // in the query template (or the references' prompt)
  TokenIds given;        // further tokens behind the question: read, not supervised
  TokenIds supervised;   // then these, with labels
};

class Reading {
 public:
  virtual ~Reading() = default;

  // Decoder rows for each question; labels where any of them has supervised tokens.
  virtual DecoderInput ask(const std::vector<Ask>& asks, ReadingCost& cost) = 0;

  // Behind the first tokens of each context (all but the last `held_back`) these last ones, with labels, but for the
  // first of them, which not every method can predict: the same tokens for every row.
  virtual DecoderInput go_on(const std::vector<TokenIds>& contexts, int64_t held_back) = 0;

  // Asks for the text of each context itself; nothing for rows that read text.
  virtual std::optional<DecoderInput> reconstruct(const std::vector<TokenIds>& contexts) = 0;
  // The same with the text behind it, and labels: how likely it is, instead of what is generated.
  virtual std::optional<DecoderInput> reconstruct_supervised(const std::vector<TokenIds>& contexts) = 0;

  virtual const Decoder& decoder() const = 0;
};

// `config`: templates of the data the compressor was trained on.
std::unique_ptr<Reading> read_memory(Compressor& compressor, const Tokenizer& tokenizer, const Config& config);

// `reference`: "full", "none", "truncate" (the last 1 / ratio of the context's tokens) or "truncate-first".
std::unique_ptr<Reading> read_text(const Decoder& decoder, const Tokenizer& tokenizer, const Config& config,
                                   const std::string& reference, int64_t ratio);

// Of each row: the sum of the labels' log-probabilities, how many labels, and how many of them are the likeliest token.
struct RowLikelihood {
  double log_probability = 0;
  int64_t tokens = 0, right = 0;
};
std::vector<RowLikelihood> row_likelihoods(const Decoder& decoder, const DecoderInput& input);

}  // namespace precis
