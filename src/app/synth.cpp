#include <algorithm>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/text/tokenizer.h"

namespace precis {

void run_synth(const SynthCommand& c) {
  const std::filesystem::path folder = std::filesystem::path(c.out).parent_path();
  if (!folder.empty()) make_folder(folder);
  const auto& kinds = ruler_kinds();
  if (std::find(kinds.begin(), kinds.end(), c.passages.kind) == kinds.end()) {
    write_file_atomically(c.out, [&](std::ostream& stream) { write_synth(stream, c.passages); });
    return log::info(cat(c.out, ": ", c.passages.count, " contexts with ", c.passages.questions,
                         " questions each, split ", c.passages.split, ", seed ", c.passages.seed));
  }
  RulerOptions options = c.ruler;
  options.kind = c.passages.kind;
  options.count = c.passages.count;
  options.seed = c.passages.seed;
  const auto tokenizer = c.tokenizer.empty() ? nullptr : load_tokenizer(c.tokenizer);
  const MeasureText measure = [&](const std::string& text) {
    return tokenizer ? static_cast<int64_t>(tokenizer->encode(text).size()) : count_words(text);
  };
  write_file_atomically(c.out, [&](std::ostream& stream) { write_ruler(stream, options, measure); });
  log::info(cat(c.out, ": ", options.kind, ", ", options.lengths.size(), " lengths in ", tokenizer ? "tokens" : "words",
                ", ", options.count, " contexts for each length and depth, seed ", options.seed));
}

}  // namespace precis
