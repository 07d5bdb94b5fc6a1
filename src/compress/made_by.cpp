#include "precis/compress/made_by.h"

#include <torch/types.h>

#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"

namespace precis {

std::string compressor_hash(const Compressor& compressor) {
  Hasher hasher;
  hasher.update(changed_settings(compressor.config()).dump());
  for (const auto& [name, tensor] : trained_tensors(compressor)) {
    const Tensor bytes = tensor.detach().cpu().contiguous();
    hasher.update(name).update(bytes.data_ptr(), bytes.nbytes());
  }
  return hasher.hex();
}

void require_made_by(const MemoryFile& file, const Compressor& compressor, const std::string& hash,
                     const std::string& where) {
  const MemoryOrigin &made = file.memory.origin, ours = compressor.origin();
  const auto must_equal = [&](const char* what, const auto& mine, const auto& theirs) {
    if (mine == theirs) return;
    throw Error({.what = cat("this memory was made with another ", what),
                 .where = where,
                 .expected = cat(mine, " (given now)"),
                 .found = cat(theirs, " (made with)")});
  };
  must_equal("method", ours.method, made.method);
  must_equal("method version", ours.method_version, made.method_version);
  must_equal("base model", ours.base_fingerprint, made.base_fingerprint);
  must_equal("tokenizer", ours.tokenizer_hash, made.tokenizer_hash);
  if (!compressor.config().ratio.has(made.ratio)) must_equal("ratio", ours.ratio, made.ratio);
  must_equal("trained compressor", hash, file.compressor_hash);
  const DecoderConfig& shape = compressor.decoder().config();
  if (const auto* embedding = std::get_if<EmbeddingMemory>(&file.memory.content)) {
    must_equal("width", shape.hidden, embedding->rows.size(2));
  } else {
    const auto& layers = std::get<KvMemory>(file.memory.content).layers;
    must_equal("number of layers", shape.layers, static_cast<int64_t>(layers.size()));
    must_equal("number of key/value heads", shape.kv_heads, layers[0].k.size(1));
    must_equal("head width", shape.head_dim, layers[0].k.size(3));
  }
  const int64_t next = file.memory.next_position[0].item<int64_t>(), limit = shape.max_positions;
  if (next >= limit) {
    throw Error({.what = "the memory is longer than the decoder's positions",
                 .where = where,
                 .expected = cat("a next position below ", limit),
                 .found = cat(next)});
  }
}

}  // namespace precis
