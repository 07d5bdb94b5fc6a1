// Splits text into pieces; byte-level BPE merges inside a piece only. ICU runs the regular expressions in order, each
// splitting the previous one's pieces. Patterns come from the tokenizer's file or from a known name.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace precis {

class PreTokenizer {
 public:
  enum class Normalizer { none, nfc, nfkc, nfd, nfkd };

  PreTokenizer();
  ~PreTokenizer();
  PreTokenizer(PreTokenizer&&) noexcept;
  PreTokenizer& operator=(PreTokenizer&&) noexcept;

  void set_normalizer(Normalizer normalizer) { normalizer_ = normalizer; }
  // Matches of `pattern` and the text between them become separate pieces ("Isolated"). Syntax: Oniguruma's, as Hugging
  // Face files use it. `where` names the file in errors.
  void add_split(const std::string& pattern, const std::string& where);
  void add_literal_split(const std::string& literal, const std::string& where);

  // Calls `piece` with each non-empty piece of `text` (valid UTF-8), in order.
  void run(std::string_view text, const std::function<void(std::string_view)>& piece) const;

  // All settings that determine the pieces, as text, for the tokenizer's hash.
  std::string description() const;

 private:
  struct Split;
  Normalizer normalizer_ = Normalizer::none;
  std::vector<Split> splits_;
};

// Pre-tokenizers that files reference by name: gpt-2, llama-bpe (Llama 3), qwen2, smollm.
PreTokenizer named_pretokenizer(const std::string& name, const std::string& where);

extern const char* const gpt2_pattern;  // the regular expression inside Hugging Face's ByteLevel

}  // namespace precis
