#include "precis/data/prepared.h"

#include <torch/types.h>

#include <deque>
#include <future>
#include <thread>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/hash.h"
#include "precis/core/interrupt.h"
#include "precis/core/progress.h"
#include "precis/core/strings.h"
#include "precis/data/corpus.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

constexpr int64_t format_version = 1;
constexpr size_t batch_bytes = size_t{1} << 20;

std::string resolve_separator(const std::string& asked, const Tokenizer& tokenizer) {
  std::string separator = asked;
  if (asked == "auto") separator = tokenizer.adds_bos ? "bos" : tokenizer.eos_id >= 0 ? "eos" : "none";
  if ((separator == "bos" && tokenizer.bos_id < 0) || (separator == "eos" && tokenizer.eos_id < 0))
    throw Error({.what = "the tokenizer has no token for this separator", .where = "--separator", .found = separator});
  return separator;
}

std::string tensor_hash(const Tensor& tokens) {
  return Hasher().update(tokens.const_data_ptr<int32_t>(), static_cast<size_t>(tokens.numel()) * 4).hex();
}

// The token ids of a batch of pieces.
struct Tokenised {
  std::vector<int32_t> ids;
  int64_t documents = 0;
};

Tokenised tokenise(const std::vector<TextPiece>& pieces, const Tokenizer& tokenizer, const std::string& separator) {
  Tokenised out;
  for (const auto& piece : pieces) {
    if (piece.begins_document && separator == "bos") out.ids.push_back(static_cast<int32_t>(tokenizer.bos_id));
    for (const int64_t id : tokenizer.encode(piece.text)) out.ids.push_back(static_cast<int32_t>(id));
    if (piece.ends_document && separator == "eos") out.ids.push_back(static_cast<int32_t>(tokenizer.eos_id));
    out.documents += piece.ends_document ? 1 : 0;
  }
  return out;
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, const Tokenizer& tokenizer, const fs::path& folder)
      : options_(options), tokenizer_(tokenizer), folder_(folder), files_(corpus_files(options.sources)) {
    make_folder(folder_);
    lock_ = std::make_unique<FolderLock>(folder_);
    manifest_ = fresh_manifest();
    if (fs::exists(folder_ / "manifest.json")) resume_from(read_json(folder_ / "manifest.json"));
  }

  Json run() {
    if (manifest_["complete"]) return manifest_;
    const InterruptGuard stops_between_batches;
    CorpusReader reader(files_, options_.field);
    Progress progress("prepare", megabytes(total_bytes()), "MB of files");
    const auto jobs = static_cast<size_t>(
        options_.jobs > 0 ? options_.jobs : std::max<int64_t>(1, std::thread::hardware_concurrency()));
    std::deque<std::future<Tokenised>> waiting;
    const auto take_first = [&] {
      add(waiting.front().get());
      waiting.pop_front();
    };
    const std::string separator = manifest_["separator"];
    for (int64_t batch = 0;; ++batch) {
      std::vector<TextPiece> pieces = next_batch(reader);
      if (pieces.empty()) break;
      progress.update(megabytes(reader.packed_bytes()));
      if (batch < manifest_["batches"]) continue;  // already in a shard
      if (waiting.size() > jobs) take_first();
      waiting.push_back(std::async(std::launch::async, [this, separator, work = std::move(pieces)] {
        return tokenise(work, tokenizer_, separator);
      }));
      if (interrupted()) {
        throw Error({.what = cat("interrupted with ", manifest_["shards"].size(), " shards done"),
                     .where = folder_.string(),
                     .hint = "run the same command again to resume"},
                    Error::Kind::interrupted);
      }
    }
    while (!waiting.empty()) take_first();
    if (!ids_.empty()) write_shard();
    if (manifest_["shards"].empty())
      throw Error({.what = "the sources contain no text", .where = files_.front().string()});
    manifest_["complete"] = true;
    write_json(folder_ / "manifest.json", manifest_);
    return manifest_;
  }

 private:
  static double megabytes(uint64_t bytes) { return static_cast<double>(bytes) / 1e6; }
  uint64_t total_bytes() const {
    uint64_t all = 0;
    for (const Json& source : manifest_["sources"]) all += source["bytes"].get<uint64_t>();
    return all;
  }

  Json fresh_manifest() const {
    Json sources = Json::array();
    for (const auto& file : files_) {
      const MappedFile content(file);
      sources.push_back({{"path", file.string()}, {"bytes", content.size()}, {"hash", hash_hex(content.view())}});
    }
    return {{"format", "precis corpus"},
            {"format_version", format_version},
            {"tokenizer_hash", tokenizer_.hash()},
            {"vocabulary_size", tokenizer_.vocabulary_size()},
            {"field", options_.field},
            {"separator", resolve_separator(options_.separator, tokenizer_)},
            {"shard_tokens", options_.shard_tokens},
            {"sources", sources},
            {"shards", Json::array()},
            {"tokens", 0},
            {"documents", 0},
            {"batches", 0},
            {"complete", false}};
  }

  void resume_from(const Json& earlier) {
    for (const char* key :
         {"format", "format_version", "tokenizer_hash", "field", "separator", "shard_tokens", "sources"}) {
      if (earlier.contains(key) && earlier[key] == manifest_[key]) continue;
      throw Error({.what = cat("the folder holds another corpus: \"", key, "\" differs"),
                   .where = (folder_ / "manifest.json").string(),
                   .expected = excerpt(manifest_[key].dump(), 200),
                   .found = earlier.contains(key) ? excerpt(earlier[key].dump(), 200) : "nothing",
                   .hint = "choose another --out, or remove the folder"});
    }
    manifest_ = earlier;
  }

  static std::vector<TextPiece> next_batch(CorpusReader& reader) {
    std::vector<TextPiece> pieces;
    size_t bytes = 0;
    while (bytes < batch_bytes) {
      auto piece = reader.next();
      if (!piece) break;
      bytes += piece->text.size();
      pieces.push_back(std::move(*piece));
    }
    return pieces;
  }

  void add(const Tokenised& batch) {
    ids_.insert(ids_.end(), batch.ids.begin(), batch.ids.end());
    documents_ += batch.documents;
    ++batches_;
    if (static_cast<int64_t>(ids_.size()) >= options_.shard_tokens) write_shard();
  }

  void write_shard() {
    std::string number = std::to_string(manifest_["shards"].size());
    number.insert(0, 5 - std::min<size_t>(5, number.size()), '0');
    const std::string name = "shard-" + number + ".safetensors";
    const Tensor tokens = torch::from_blob(ids_.data(), {static_cast<int64_t>(ids_.size())}, torch::kInt);
    write_safetensors(folder_ / name, {{"tokens", tokens}});
    manifest_["shards"].push_back({{"file", name},
                                   {"tokens", ids_.size()},
                                   {"documents", documents_},
                                   {"bytes", fs::file_size(folder_ / name)},
                                   {"hash", tensor_hash(tokens)}});
    manifest_["tokens"] = manifest_["tokens"].get<int64_t>() + static_cast<int64_t>(ids_.size());
    manifest_["documents"] = manifest_["documents"].get<int64_t>() + documents_;
    manifest_["batches"] = manifest_["batches"].get<int64_t>() + batches_;
    write_json(folder_ / "manifest.json", manifest_);
    ids_.clear();
    documents_ = batches_ = 0;
  }

  const PrepareOptions& options_;
  const Tokenizer& tokenizer_;
  fs::path folder_;
  std::vector<fs::path> files_;
  std::unique_ptr<FolderLock> lock_;
  Json manifest_;
  std::vector<int32_t> ids_;  // of the current shard
  int64_t documents_ = 0, batches_ = 0;
};

}  // namespace

Json prepare_corpus(const PrepareOptions& options, const Tokenizer& tokenizer, const fs::path& folder) {
  return Preparation(options, tokenizer, folder).run();
}

bool is_prepared_corpus(const fs::path& folder) { return fs::exists(folder / "manifest.json"); }

PreparedCorpus::PreparedCorpus(const fs::path& folder, const Tokenizer& tokenizer) : folder_(folder) {
  const std::string where = (folder / "manifest.json").string();
  const Json manifest = read_json(where);
  const auto version = json_get<int64_t>(manifest, "format_version", where);
  if (version != format_version) {
    throw Error({.what = "the prepared corpus has another format version",
                 .where = where,
                 .expected = cat(format_version),
                 .found = cat(version)});
  }
  if (const auto hash = json_get<std::string>(manifest, "tokenizer_hash", where); hash != tokenizer.hash()) {
    throw Error({.what = "the corpus was prepared with another tokenizer",
                 .where = where,
                 .expected = tokenizer.hash(),
                 .found = hash,
                 .hint = "run precis prepare with this model's tokenizer"});
  }
  if (!json_get<bool>(manifest, "complete", where))
    throw Error({.what = "the corpus is not finished", .where = where, .hint = "run precis prepare again"});
  first_token_ = {0};
  Hasher hasher;
  for (const Json& json : json_get<Json>(manifest, "shards", where)) {
    shards_.push_back({json_get<std::string>(json, "file", where), json_get<std::string>(json, "hash", where),
                       json_get<int64_t>(json, "tokens", where)});
    const Shard& shard = shards_.back();
    const fs::path file = folder / shard.file;
    const auto expected = json_get<uint64_t>(json, "bytes", where);
    const uint64_t found = fs::exists(file) ? fs::file_size(file) : 0;
    if (found != expected || shard.tokens <= 0 || static_cast<uint64_t>(shard.tokens) > found / sizeof(int32_t)) {
      throw Error({.what = fs::exists(file) ? "the shard has the wrong size" : "the shard is missing",
                   .where = file.string(),
                   .expected = cat(expected, " bytes"),
                   .found = cat(found, " bytes")});
    }
    hasher.update(shard.hash);
    first_token_.push_back(first_token_.back() + shard.tokens);
  }
  if (shards_.empty()) throw Error({.what = "the corpus has no shard", .where = where});
  hash_ = hasher.hex();
  mapped_.resize(shards_.size());
}

const Tensor& PreparedCorpus::shard(size_t index) const {
  const std::lock_guard guard(mutex_);
  Tensor& mapped = mapped_[index];
  if (mapped.defined()) return mapped;
  const fs::path file = folder_ / shards_[index].file;
  const Tensor tokens = SafetensorsFile(file).tensor("tokens");
  const bool fits = tokens.scalar_type() == torch::kInt && tokens.numel() == shards_[index].tokens;
  if (const std::string found = fits ? tensor_hash(tokens) : "other tokens"; found != shards_[index].hash) {
    throw Error({.what = "the shard is corrupt",
                 .where = file.string(),
                 .expected = shards_[index].hash,
                 .found = found,
                 .hint = "remove the folder and run precis prepare again"});
  }
  return mapped = tokens;
}

TokenIds PreparedCorpus::read(int64_t begin, int64_t count) const {
  check(begin >= 0 && count >= 0 && begin + count <= tokens(), "PreparedCorpus::read: outside the corpus");
  TokenIds out;
  out.reserve(static_cast<size_t>(count));
  auto index =
      static_cast<size_t>(std::upper_bound(first_token_.begin(), first_token_.end(), begin) - first_token_.begin() - 1);
  while (static_cast<int64_t>(out.size()) < count) {
    const Tensor& tokens = shard(index);
    const int64_t at = begin + static_cast<int64_t>(out.size()) - first_token_[index],
                  n = std::min(count - static_cast<int64_t>(out.size()), tokens.numel() - at);
    const int32_t* from = tokens.const_data_ptr<int32_t>() + at;
    out.insert(out.end(), from, from + n);
    ++index;
  }
  return out;
}

}  // namespace precis
