#include <cstdio>

#include "commands.h"
#include "precis/core/strings.h"

namespace precis {

void run_prepare(const PrepareCommand& c) {
  const auto tokenizer = load_tokenizer(c.tokenizer);
  const Json manifest = prepare_corpus(c.options, *tokenizer, c.out);
  const Json result = {{"corpus", c.out},
                       {"documents", manifest["documents"]},
                       {"tokens", manifest["tokens"]},
                       {"shards", manifest["shards"].size()},
                       {"separator", manifest["separator"]}};
  if (c.json) {
    std::printf("%s\n", result.dump().c_str());
  } else {
    std::printf("%s: %s tokens of %s documents in %s shards\n", c.out.c_str(), result["tokens"].dump().c_str(),
                result["documents"].dump().c_str(), result["shards"].dump().c_str());
  }
}

}  // namespace precis
