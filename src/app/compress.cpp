#include <c10/core/InferenceMode.h>

#include <cstdio>
#include <iostream>
#include <iterator>
#include <map>

#include "commands.h"
#include "precis/compress/checkpoint.h"
#include "precis/compress/made_by.h"
#include "precis/compress/parts.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/hash.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/progress.h"
#include "precis/core/strings.h"
#include "precis/core/unpack.h"
#include "precis/data/templates.h"
#include "precis/memory/memory_blocks.h"
#include "precis/memory/memory_file.h"
#include "precis/text/tokenizer.h"
#include "precis/text/utf8.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

struct Document {
  std::string id, text;
  fs::path file;
};

// A file name for an id: other characters become '_', and a hash keeps changed names unique.
std::string file_name(const std::string& id) {
  std::string name;
  for (const char c : id) name += std::isalnum(static_cast<unsigned char>(c)) || c == '-' || c == '_' ? c : '_';
  if (name != id || name.size() > 100) name = cat(name.substr(0, 80), '-', hash_hex(id).substr(0, 12));
  return name + ".safetensors";
}

std::vector<Document> read_documents(const CompressCommand& c) {
  std::vector<Document> out;
  std::map<std::string, size_t> line_of;
  const std::string bytes =
      c.jsonl == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : read_unpacked(c.jsonl);
  size_t number = 0;
  for (const auto& line : split(bytes, '\n')) {
    ++number;
    if (trim(line).empty()) continue;
    const std::string where = cat(c.jsonl, " line ", number);
    const Json object = parse_json(line, where);
    if (out.empty() && object.is_object() && object.contains("header")) continue;  // MRQA's first line
    std::string id = cat("document-", number);
    if (object.is_object() && object.contains(c.id_field)) {
      const Json& value = object.at(c.id_field);
      id = value.is_string() ? value.get<std::string>() : value.dump();
    }
    if (const auto [first, is_new] = line_of.emplace(id, number); !is_new) {
      throw Error({.what = "duplicate document id",
                   .where = where,
                   .expected = cat("an id different from line ", first->second),
                   .found = excerpt(id)});
    }
    out.push_back({id, json_get<std::string>(object, c.text_field, where), fs::path(c.out) / file_name(id)});
    if (trim(out.back().text).empty()) throw Error({.what = "empty text", .where = where});
  }
  if (out.empty()) throw Error({.what = "no documents", .where = c.jsonl});
  return out;
}

// Compresses texts and writes their memory files.
class Work {
 public:
  Work(const CompressCommand& command, const CompressorRegistry& registry)
      : command_(command), run_(open_run(command.run, registry)), hash_(compressor_hash(*run_.compressor)) {}

  void one() {
    const bool appends = !command_.append.empty();
    std::optional<MemoryFile> before;
    if (appends) {
      before = load_memory(command_.append);
      require_made_by(*before, *run_.compressor, hash_, command_.append);
      before->memory = with_dtype(before->memory, run_.decoder->dtype(), run_.decoder->device());
    }
    const std::string text =
        command_.text == "-" ? std::string(std::istreambuf_iterator<char>(std::cin), {}) : read_file(command_.text);
    require_utf8(text, command_.text);
    if (trim(text).empty()) throw Error({.what = "empty text", .where = command_.text});
    const TokenBatch tokens = token_batch({appends ? run_.tokenizer->encode(text) : ids_of(text)});
    const c10::InferenceMode inference;
    Memory memory = appends ? append(*run_.compressor, before->memory, tokens, command_.segments_at_once)
                            : compress_in_parts(*run_.compressor, tokens, command_.segments_at_once);
    write({command_.text, "", command_.out}, memory, source_hash(tokens.ids[0], appends ? before->source_hash : ""));
  }

  void many() {
    make_folder(command_.out);
    const FolderLock lock(command_.out);
    std::vector<Document> documents = read_documents(command_);
    const InterruptGuard stops_between_batches;
    Progress progress("compress", static_cast<double>(documents.size()), "documents");
    std::vector<const Document*> waiting;
    std::vector<TokenIds> ids;
    const c10::InferenceMode inference;
    for (size_t i = 0; i < documents.size(); ++i) {
      const TokenIds own = ids_of(documents[i].text);
      if (is_done(documents[i], own)) {
        ++kept_;
      } else {
        waiting.push_back(&documents[i]);
        ids.push_back(own);
      }
      if (static_cast<int64_t>(waiting.size()) < command_.batch && i + 1 < documents.size()) continue;
      if (interrupted()) {
        throw Error({.what = "interrupted", .where = command_.out, .hint = "run the same command again to resume"},
                    Error::Kind::interrupted);
      }
      flush(waiting, ids);
      progress.update(static_cast<double>(i + 1));
    }
    log::info(cat(command_.out, ": ", documents.size() - kept_, " compressed, ", kept_, " already done"));
  }

 private:
  TokenIds ids_of(const std::string& text) const {
    return context_ids(*run_.tokenizer, run_.config.data, text, run_.compressor->context_begins_with_bos());
  }

  at::ScalarType stored_dtype() const {
    return command_.store.empty() ? run_.decoder->dtype()
                                  : (command_.store == "bfloat16" ? torch::kBFloat16 : torch::kFloat);
  }

  // Whether a valid memory file of this text, compressor, ratio and dtype exists.
  bool is_done(const Document& document, const TokenIds& ids) const {
    if (!fs::exists(document.file)) return false;
    try {
      const MemoryFile file = load_memory(document.file);
      const bool same_dtype = dtype_of(file.memory) == stored_dtype();
      return file.compressor_hash == hash_ && file.memory.origin.ratio == run_.compressor->ratio() && same_dtype &&
             file.source_hash == source_hash(torch::tensor(ids, torch::kLong));
    } catch (const Error& e) {
      log::warn(cat(e.what(), "; compressing again"));
      return false;
    }
  }

  void flush(std::vector<const Document*>& waiting, std::vector<TokenIds>& ids) {
    if (waiting.empty()) return;
    const Memory memories = compress_in_parts(*run_.compressor, token_batch(ids), command_.segments_at_once);
    for (size_t i = 0; i < waiting.size(); ++i) {
      write(*waiting[i], select_context(memories, static_cast<int64_t>(i)),
            source_hash(torch::tensor(ids[i], torch::kLong)));
    }
    waiting.clear();
    ids.clear();
  }

  void write(const Document& document, const Memory& memory, const std::string& source) {
    MemoryFile file{memory, source, hash_};
    double error = 0;
    if (!command_.store.empty()) {
      file.memory = with_dtype(memory, stored_dtype());
      error = relative_error(memory, file.memory);
    }
    save_memory(document.file, file);
    const int64_t tokens = memory.source_tokens[0].item<int64_t>();
    if (command_.json) {
      std::printf("%s\n", Json{{"id", document.id},
                               {"file", document.file.string()},
                               {"source_tokens", tokens},
                               {"entries", memory.entries()},
                               {"bytes", file.memory.bytes(0)},
                               {"relative_storage_error", error}}
                              .dump()
                              .c_str());
    } else {
      std::printf("%s: %lld tokens in %lld entries, %lld bytes%s\n", document.file.string().c_str(),
                  static_cast<long long>(tokens), static_cast<long long>(memory.entries()),
                  static_cast<long long>(file.memory.bytes(0)),
                  command_.store.empty() ? "" : cat(", relative storage error ", error).c_str());
    }
  }

  const CompressCommand& command_;
  OpenRun run_;
  std::string hash_;
  size_t kept_ = 0;
};

}  // namespace

void run_compress(const CompressCommand& command, const CompressorRegistry& registry) {
  if (command.text.empty() == command.jsonl.empty())
    throw Error({.what = "nothing to compress", .where = "command line", .expected = "either --text or --jsonl"});
  if (!command.append.empty() && command.text.empty())
    throw Error({.what = "--append takes one text", .where = "command line", .expected = "--text"});
  Work work(command, registry);
  command.text.empty() ? work.many() : work.one();
}

}  // namespace precis
