// Splits text into pieces; the model tokenises each piece by itself. Steps run in order, each on the pieces of the one
// before, as in Hugging Face's tokenizers.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "pattern.h"

namespace precis {

// What becomes of the matches of a pattern.
enum class SplitBehavior { removed, isolated, merged_with_previous, merged_with_next, contiguous };

class PreTokenizer {
 public:
  enum class Prepend { never, first, always };  // first: at the start of the whole text

  void add_split(TextPattern pattern, SplitBehavior behavior = SplitBehavior::isolated, bool invert = false);
  void add_metaspace(const std::string& replacement, Prepend prepend);  // spaces become `replacement`
  void add_space_prefix();                                              // to pieces that do not begin with a space
  void add_byte_level();                                                // bytes become GPT-2's printable characters

  // Calls `piece` with each non-empty piece of `text` (valid UTF-8), in order. `at_start`: the text before it is empty.
  void run(std::string_view text, bool at_start, const std::function<void(std::string_view)>& piece) const;

  bool is_byte_level() const { return byte_level_; }
  std::string description() const;  // all settings that determine the pieces, for the tokenizer's hash

 private:
  enum class Kind { split, metaspace, space_prefix, byte_level };
  struct Step {
    Kind kind;
    std::vector<TextPattern> pattern;  // of a split: one
    SplitBehavior behavior = SplitBehavior::isolated;
    bool invert = false;
    std::string replacement;
    Prepend prepend = Prepend::never;
  };
  struct Piece {
    icu::UnicodeString text;
    bool at_start;
  };
  static void split(const Piece& piece, const Step& step, std::vector<Piece>& out);
  static void change(Piece& piece, const Step& step);

  std::vector<Step> steps_;
  bool byte_level_ = false;
};

// A pre-tokenizer that files reference by name (`tokenizer.ggml.pre`), with what else the name implies.
struct NamedPreTokenizer {
  PreTokenizer pre_tokenizer;
  bool nfc = false;                // the original normalises to NFC
  bool whole_piece_first = false;  // ignore_merges
  bool adds_bos = false;           // unless the file says otherwise
};
NamedPreTokenizer named_pretokenizer(const std::string& name, const std::string& where);

extern const char* const gpt2_pattern;  // the regular expression inside Hugging Face's ByteLevel

// GPT-2's printable form of bytes: " the" is "Ġthe". bytes_of: false if a character of `printable` encodes no byte.
std::string printable_bytes(std::string_view bytes);
bool bytes_of(std::string_view printable, std::string& bytes);

}  // namespace precis
