#include <sentencepiece_processor.h>

#include <algorithm>

#include "decoder_chain.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"
#include "sentencepiece.h"
#include "token_model.h"

namespace precis {
namespace {

// libsentencepiece without normalisation: a piece goes in as it is.
class Unigram : public TokenModel {
 public:
  Unigram(const UnigramDefinition& definition, const std::string& where) {
    SentencePieceDefinition model;
    model.unigram = true;
    for (size_t id = 0; id < definition.pieces.size(); ++id) {
      const auto& [text, score] = definition.pieces[id];
      const auto is_special = std::find(definition.special.begin(), definition.special.end(), id);
      const int64_t type = static_cast<int64_t>(id) == definition.unknown_id      ? SentencePieceDefinition::unknown
                           : definition.byte_fallback && byte_of_token(text) >= 0 ? SentencePieceDefinition::byte
                           : is_special != definition.special.end()               ? SentencePieceDefinition::control
                                                                                  : SentencePieceDefinition::normal;
      model.pieces.push_back({text, static_cast<float>(score), type});
      tokens_.push_back(text);
    }
    const std::string bytes = sentencepiece_model(model, where);
    std::string problem;
    try {
      const auto status = processor_.LoadFromSerializedProto(bytes);
      if (!status.ok()) problem = status.ToString();
    } catch (const std::exception& e) {  // of its trie: an empty piece, or two of one text
      problem = e.what();
    }
    if (!problem.empty())
      throw Error({.what = "SentencePiece cannot run this Unigram model", .where = where, .found = excerpt(problem)});
  }

  const std::vector<std::string>& tokens() const override { return tokens_; }
  int64_t id_of(std::string_view token) const override {
    const int id = processor_.PieceToId({token.data(), token.size()});
    return processor_.IdToPiece(id) == token ? id : -1;
  }
  std::string settings() const override { return "|unigram " + hash_of_scores(); }
  void encode(std::string_view piece, TokenIds& out) const override {
    std::vector<int> ids;
    const auto status = processor_.Encode({piece.data(), piece.size()}, &ids);
    if (!status.ok()) throw Error({.what = "SentencePiece cannot encode the text", .found = status.ToString()});
    out.insert(out.end(), ids.begin(), ids.end());
  }

 private:
  std::string hash_of_scores() const {
    std::string out;
    for (int id = 0; id < processor_.GetPieceSize(); ++id) out += cat(processor_.GetScore(id), ' ');
    return out;
  }

  std::vector<std::string> tokens_;
  sentencepiece::SentencePieceProcessor processor_;
};

}  // namespace

std::unique_ptr<TokenModel> make_unigram(const UnigramDefinition& definition, const std::string& where) {
  return std::make_unique<Unigram>(definition, where);
}

}  // namespace precis
