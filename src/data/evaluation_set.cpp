#include "precis/data/evaluation_set.h"

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/data/prepared.h"

namespace precis {

std::vector<Passage> read_evaluation_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                         const DataConfig& data, int64_t windows, int64_t max_context_tokens) {
  std::vector<Passage> out;
  for (const auto& path : paths) {
    if (!is_prepared_corpus(path)) {
      for (auto& passage : read_qa(path, data)) out.push_back(std::move(passage));
      continue;
    }
    const PreparedCorpus corpus(path, tokenizer);
    const int64_t width = data.max_context_tokens + data.continuation_tokens, all = corpus.tokens() / width,
                  count = windows > 0 ? std::min(windows, all) : all;
    if (all == 0)
      throw Error({.what = "the corpus is shorter than one window",
                   .where = path,
                   .expected = cat(width, " tokens (data.max_context_tokens + data.continuation_tokens)"),
                   .found = cat(corpus.tokens())});
    for (int64_t i = 0; i < count; ++i) {
      const std::string text = tokenizer.decode(corpus.read(i * all / count * width, width), true);
      out.push_back({text, {{.id = cat("window-", i)}}});
    }
  }
  for (auto& passage : out) {
    if (max_context_tokens > 0) passage.context = without_middle(passage.context, tokenizer, max_context_tokens);
  }
  return out;
}

std::string without_middle(const std::string& context, const Tokenizer& tokenizer, int64_t tokens) {
  const TokenIds ids = tokenizer.encode(context);
  if (static_cast<int64_t>(ids.size()) <= tokens) return context;
  const int64_t half = tokens / 2;
  return tokenizer.decode(TokenIds(ids.begin(), ids.begin() + half), true) +
         tokenizer.decode(TokenIds(ids.end() - half, ids.end()), true);
}

}  // namespace precis
