#include "pipeline.h"

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

class PipelineTokenizer : public Tokenizer {
 public:
  PipelineTokenizer(Pipeline pipeline, const std::string& where)
      : pipeline_(std::move(pipeline)), names_(pipeline_.model->tokens()) {
    for (auto& token : pipeline_.added) {
      if (token.id < 0 || token.id > most_token_ids)
        throw Error({.what = "the id of an added token is out of range", .where = where, .found = cat(token.id)});
      if (token.id >= vocabulary_size()) names_.resize(static_cast<size_t>(token.id) + 1);
      names_[static_cast<size_t>(token.id)] = token.content;
    }
    set_added_tokens(pipeline_.added, where);
    set_hash(hash_of());
  }

  std::string token_bytes(int64_t id) const override { return pipeline_.decoder.bytes(name(id), false); }
  std::string first_token_bytes(int64_t id) const override { return pipeline_.decoder.bytes(name(id), true); }
  int64_t vocabulary_size() const override { return static_cast<int64_t>(names_.size()); }
  std::string kind() const override { return pipeline_.kind; }

 protected:
  std::string normalize(std::string_view text, bool* start_removed) const override {
    return pipeline_.normalizer.run(text, start_removed);
  }
  void encode_plain(std::string_view text, bool at_start, TokenIds& out) const override {
    pipeline_.pre_tokenizer.run(text, at_start, [&](std::string_view piece) { pipeline_.model->encode(piece, out); });
  }
  std::string text_of(const TokenIds& ids) const override {
    std::vector<std::string> tokens;
    for (const int64_t id : ids) {
      if (!name(id).empty()) tokens.push_back(name(id));
    }
    return pipeline_.decoder.decode(std::move(tokens));
  }
  int64_t vocabulary_id(const std::string& token) const override { return pipeline_.model->id_of(token); }

 private:
  const std::string& name(int64_t id) const {
    check(id >= 0 && id < vocabulary_size(), "token id out of range");
    return names_[static_cast<size_t>(id)];
  }

  // Of byte-level vocabularies the bytes count, so that all formats of one tokenizer have one hash.
  std::string hash_of() const {
    const bool byte_level = pipeline_.pre_tokenizer.is_byte_level();
    const auto bytes = [&](const std::string& token) {
      std::string out;
      return byte_level && bytes_of(token, out) ? out : token;
    };
    Hasher hasher;
    hasher.update(pipeline_.normalizer.description()).update(pipeline_.pre_tokenizer.description());
    hasher.update(pipeline_.model->settings());
    for (const auto& token : names_) hasher.update(bytes(token)).update(std::string_view("\0", 1));
    for (const auto& [left, right] : pipeline_.merges)
      hasher.update(bytes(left)).update(" ").update(bytes(right)).update("\n");
    if (!byte_level) hasher.update(pipeline_.decoder.description());
    for (const auto& token : pipeline_.added) {
      if (token.lstrip || token.rstrip || token.single_word || (token.normalized && !pipeline_.normalizer.empty()))
        hasher.update(cat("\n", token.id, token.lstrip, token.rstrip, token.single_word, token.normalized));
    }
    return hasher.hex();
  }

  Pipeline pipeline_;
  std::vector<std::string> names_;  // by id; "": no token
};

}  // namespace

std::unique_ptr<Tokenizer> make_tokenizer(Pipeline pipeline, const std::string& where) {
  return std::make_unique<PipelineTokenizer>(std::move(pipeline), where);
}

std::unique_ptr<Tokenizer> make_byte_level(Pipeline pipeline, BpeDefinition definition, const std::string& where) {
  pipeline.merges = definition.merges;
  pipeline.model = make_bpe(std::move(definition), where);
  pipeline.decoder.add_byte_level();
  pipeline.kind = "byte-level BPE";
  return make_tokenizer(std::move(pipeline), where);
}

}  // namespace precis
