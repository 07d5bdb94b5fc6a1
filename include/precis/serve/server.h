// An HTTP server around one frozen decoder and its compressors: texts are compressed once, and questions to their
// memories are answered in the form of OpenAI's API (docs/serving.md).
#pragma once

#include <atomic>
#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "precis/config/config.h"
#include "precis/serve/engine.h"

namespace precis {

class Tokenizer;

struct ServedModel {
  std::string name;  // clients select it as "model"
  DataConfig data;   // the templates it was trained with
  std::shared_ptr<Compressor> compressor;
};

struct ServeOptions {
  std::string host = "127.0.0.1", api_key_file;  // no file: every client is served
  int64_t port = 8080;                           // 0: any free one
  std::filesystem::path memories = "memories";
  int64_t ram_bytes = int64_t{1} << 30;  // of memories; those used least recently are read from disk again
  int64_t most_body_bytes = int64_t{8} << 20, connections = 128, grace_seconds = 30;
  EngineLimits engine;
};

class Server {
 public:
  // Binds the port. The tokenizer must outlive the server. Throws Error if the port cannot be bound, and for a broken
  // key file.
  Server(std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer, std::vector<ServedModel> models,
         const ServeOptions& options);
  ~Server();

  int64_t port() const;

  // Serves until `stops`; then refuses new requests and lets running ones finish for options.grace_seconds.
  void run(const std::function<bool()>& stops);

 private:
  class Implementation;
  std::unique_ptr<Implementation> implementation_;
};

}  // namespace precis
