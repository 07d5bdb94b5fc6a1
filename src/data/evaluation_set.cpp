#include "precis/data/evaluation_set.h"

#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "precis/data/prepared.h"

namespace precis {

std::vector<Passage> read_evaluation_set(const std::vector<std::string>& paths, const Tokenizer& tokenizer,
                                         const DataConfig& data, int64_t windows) {
  std::vector<Passage> out;
  for (const auto& path : paths) {
    if (!is_prepared_corpus(path)) {
      for (auto& passage : read_qa(path)) out.push_back(std::move(passage));
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
  return out;
}

}  // namespace precis
