// How a report row gives the decoder its context: as a compressor's memory, or as text (the references). Tasks use a
// Reading and do not depend on the method.
#pragma once

#include <set>

#include "precis/compress/compressor.h"
#include "precis/data/qa.h"
#include "precis/data/templates.h"

namespace precis {

// The cost of a row, per batch.
struct ReadingCost {
  struct Batch {
    double compress_seconds = 0, prefill_seconds = 0, decode_seconds = 0;
    int64_t contexts = 0, questions = 0, generated_tokens = 0;
  };
  std::vector<Batch> batches;
  int64_t source_tokens = 0, entries = 0, bytes = 0;  // summed over questions; entries, bytes: held by the decoder
};

// A question about a context, or its continuation.
struct Ask {
  const Passage* passage = nullptr;
  std::string question;  // in the query template (or the references' prompt)
  TokenIds given;        // tokens after the question, not supervised
  TokenIds supervised;   // tokens after those, with labels
};

class Reading {
 public:
  virtual ~Reading() = default;

  // Decoder rows for each question; with labels if any question has supervised tokens.
  virtual DecoderInput ask(const std::vector<Ask>& asks, ReadingCost& cost) = 0;

  // Each context's first tokens (all but the last `held_back`), then those last ones with labels. The first label is
  // left out, since not every method can predict it; every row is scored on the same tokens.
  virtual DecoderInput go_on(const std::vector<TokenIds>& contexts, int64_t held_back) = 0;

  // Prompts for the text of each context itself; nothing for rows that read text.
  virtual std::optional<DecoderInput> reconstruct(const std::vector<TokenIds>& contexts) = 0;
  // The same followed by the text with labels, to compute its likelihood.
  virtual std::optional<DecoderInput> reconstruct_supervised(const std::vector<TokenIds>& contexts) = 0;

  virtual const Decoder& decoder() const = 0;
};

// `config`: with the templates of the compressor's training data.
std::unique_ptr<Reading> read_memory(Compressor& compressor, const Tokenizer& tokenizer, const Config& config);

// `reference`: "full", "none", "truncate" (the last 1 / ratio of the context's tokens) or "truncate-first".
std::unique_ptr<Reading> read_text(const Decoder& decoder, const Tokenizer& tokenizer, const Config& config,
                                   const std::string& reference, int64_t ratio);

// Per row: the sum of the labels' log-probabilities, the number of labels, and how many are the likeliest token.
struct RowLikelihood {
  double log_probability = 0;
  int64_t tokens = 0, right = 0;
};
std::vector<RowLikelihood> row_likelihoods(const Decoder& decoder, const DecoderInput& input);

}  // namespace precis
