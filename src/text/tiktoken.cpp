// Llama 3's `tokenizer.model`: a line "base64 rank" per token, special tokens after them (meta-llama/llama3).
#include "pipeline.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "readers.h"

namespace precis {
namespace {

std::string from_base64(std::string_view text, const std::string& where) {
  static constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  unsigned buffer = 0;
  int bits = 0;
  for (const char c : text.substr(0, text.find('='))) {
    const size_t value = digits.find(c);
    if (value == std::string_view::npos) throw Error({.what = "not base64", .where = where, .found = excerpt(text)});
    buffer = (buffer << 6 | static_cast<unsigned>(value)) & 0xFFFF;
    bits += 6;
    if (bits >= 8) out += static_cast<char>(buffer >> (bits -= 8) & 0xFF);
  }
  return out;
}

}  // namespace

std::unique_ptr<Tokenizer> load_tiktoken(std::string_view file, const std::string& where) {
  BpeDefinition definition;
  definition.merge_by_rank_of_result = definition.whole_piece_first = true;
  for (const auto& line : split(file, '\n')) {
    if (line.empty()) continue;
    const size_t space = line.find(' ');
    if (space == std::string::npos || line.substr(space + 1) != cat(definition.tokens.size())) {
      throw Error({.what = "not a tiktoken vocabulary",
                   .where = where,
                   .expected = cat("a line that ends in rank ", definition.tokens.size()),
                   .found = excerpt(line)});
    }
    definition.tokens.push_back(printable_bytes(from_base64(line.substr(0, space), where)));
  }
  if (definition.tokens.size() != 128000) {
    throw Error({.what = "unknown tiktoken vocabulary",
                 .where = where,
                 .expected = "the 128000 ranks of Llama 3",
                 .found = cat(definition.tokens.size())});
  }
  Pipeline pipeline;
  pipeline.pre_tokenizer = named_pretokenizer("llama-bpe", where).pre_tokenizer;
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|reserved_special_token_2|>",
                                    "<|reserved_special_token_3|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|reserved_special_token_4|>",
                                    "<|eot_id|>"};
  for (int i = 5; names.size() < 256; ++i) names.push_back(cat("<|reserved_special_token_", i, "|>"));
  for (size_t i = 0; i < names.size(); ++i)
    pipeline.added.push_back({.content = names[i], .id = static_cast<int64_t>(128000 + i)});
  auto tokenizer = make_byte_level(std::move(pipeline), std::move(definition), where);
  tokenizer->bos_id = 128000;
  tokenizer->eos_id = 128001;
  tokenizer->end_ids = {128001};
  tokenizer->adds_bos = true;
  return tokenizer;
}

}  // namespace precis
