#include "precis/text/train_sentencepiece.h"

#include <sentencepiece_trainer.h>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

class Sentences : public sentencepiece::SentenceIterator {
 public:
  explicit Sentences(const std::vector<std::string>& texts) : texts_(texts) {}
  bool done() const override { return next_ >= texts_.size(); }
  void Next() override { ++next_; }
  const std::string& value() const override { return texts_[next_]; }
  sentencepiece::util::Status status() const override { return {}; }

 private:
  const std::vector<std::string>& texts_;
  size_t next_ = 0;
};

}  // namespace

std::string train_sentencepiece(const std::vector<std::string>& texts, int64_t vocabulary_size) {
  Sentences sentences(texts);
  std::string model;
  const auto status = sentencepiece::SentencePieceTrainer::Train({{"model_type", "bpe"},
                                                                  {"vocab_size", cat(vocabulary_size)},
                                                                  {"byte_fallback", "true"},
                                                                  {"normalization_rule_name", "identity"},
                                                                  {"remove_extra_whitespaces", "false"},
                                                                  {"add_dummy_prefix", "false"},
                                                                  {"num_threads", "1"},
                                                                  {"minloglevel", "2"}},
                                                                 &sentences, &model);
  if (!status.ok())
    throw Error({.what = "SentencePiece cannot train a vocabulary of this size",
                 .where = cat(vocabulary_size, " pieces"),
                 .found = excerpt(status.ToString(), 300)});
  return model;
}

void write_sentencepiece_folder(const std::filesystem::path& folder, const std::string& model) {
  write_file_atomically(folder / "tokenizer.model", model);
  write_json(
      folder / "tokenizer_config.json",
      {{"tokenizer_class", "LlamaTokenizer"}, {"bos_token", "<s>"}, {"eos_token", "</s>"}, {"add_bos_token", true}});
}

}  // namespace precis
