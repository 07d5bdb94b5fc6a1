#include "precis/serve/server.h"

#include <httplib.h>
#include <torch/types.h>

#include <fstream>
#include <set>
#include <thread>

#include "answer_text.h"
#include "metrics.h"
#include "page.h"
#include "precis/compress/made_by.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/hash.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/templates.h"
#include "precis/serve/memory_store.h"
#include "precis/text/utf8.h"
#include "prompts.h"
#include "requests.h"

namespace precis {
namespace {

using httplib::Request;
using httplib::Response;

void send(Response& response, const Json& json, int status = 200) {
  response.status = status;
  response.set_content(json.dump(-1, ' ', false, Json::error_handler_t::replace), "application/json");
}

void refuse(Response& response, const RequestError& error) { send(response, error.json(), error.status); }

// Hashes of the keys, one a line, so that comparing takes the same time for every guess.
std::set<std::string> read_keys(const std::string& path) {
  std::set<std::string> out;
  for (const auto& line : split(read_file(path), '\n')) {
    if (const std::string key = trim(line); !key.empty() && key[0] != '#') out.insert(hash_hex(key));
  }
  if (out.empty()) throw Error({.what = "no API key", .where = path, .expected = "one key a line"});
  return out;
}

// What a failure in the library means to a client.
RequestError request_error(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const RequestError& e) {
    return e;
  } catch (const EngineBusy& e) {
    return {429, "rate_limit_error", e.what(), "", "busy"};
  } catch (const Error& e) {
    if (e.kind() == Error::Kind::interrupted) return {503, "server_error", e.what(), "", "shutting_down"};
    if (e.kind() == Error::Kind::resources) return {507, "server_error", e.what(), "", "no_space"};
    const bool too_long = std::string(e.what()).find("context window") != std::string::npos;
    return {400, "invalid_request_error", e.what(), "", too_long ? "context_length_exceeded" : ""};
  } catch (const std::exception& e) {
    log::warn(cat("a request failed: ", e.what()));
    return {500, "server_error", "internal error", "", ""};
  }
}

}  // namespace

class Server::Implementation {
 public:
  Implementation(std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer, std::vector<ServedModel> models,
                 const ServeOptions& options)
      : tokenizer_(tokenizer),
        models_(std::move(models)),
        options_(options),
        store_(options.memories, options.ram_bytes),
        engine_(decoder, options.engine) {
    check(!models_.empty(), "Server: at least one model");
    for (const auto& model : models_) hashes_.push_back(compressor_hash(*model.compressor));
    if (!options.api_key_file.empty()) keys_ = read_keys(options.api_key_file);
    http_.new_task_queue = [n = options.connections] { return new httplib::ThreadPool(static_cast<size_t>(n)); };
    http_.set_payload_max_length(static_cast<size_t>(options.most_body_bytes));
    http_.set_tcp_nodelay(true);
    http_.set_socket_options([](socket_t socket) {  // the default lets a second server share the port
      const int yes = 1;
      ::setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    });
    http_.set_keep_alive_max_count(1000);
    add_routes();
    if (options.port > 0) {
      if (http_.bind_to_port(options.host, static_cast<int>(options.port))) port_ = options.port;
    } else {
      port_ = http_.bind_to_any_port(options.host);
    }
    if (port_ <= 0) {
      throw Error({.what = "cannot listen",
                   .where = cat(options.host, ":", options.port),
                   .hint = "another program may use this port; --port 0 takes a free one"},
                  Error::Kind::resources);
    }
  }

  int64_t port() const { return port_; }

  void run(const std::function<bool()>& stops) {
    std::thread listens([this] { http_.listen_after_bind(); });
    while (!stops() && (http_.is_running() || !began_)) {
      began_ = began_ || http_.is_running();
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    draining_ = true;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(options_.grace_seconds);
    while (active_ > 0 && std::chrono::steady_clock::now() < until)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    http_.stop();
    listens.join();
  }

 private:
  using Handler = std::function<void(const Request&, Response&)>;

  // A handler whose errors become answers, and which is counted under the name of its endpoint.
  Handler guarded(const std::string& endpoint, Handler handler) {
    return [this, endpoint, handler = std::move(handler)](const Request& request, Response& response) {
      try {
        handler(request, response);
      } catch (...) {
        const RequestError error = request_error(std::current_exception());
        if (error.status == 429) response.set_header("Retry-After", "1");
        refuse(response, error);
      }
      metrics_.count_request(endpoint, response.status > 0 ? response.status : 200);
    };
  }

  void add_routes() {
    http_.set_pre_routing_handler([this](const Request& request, Response& response) {
      if (draining_ && request.path != "/health") {
        refuse(response, {503, "server_error", "the server is shutting down", "", "shutting_down"});
        return httplib::Server::HandlerResponse::Handled;
      }
      if (may_enter(request)) return httplib::Server::HandlerResponse::Unhandled;
      response.set_header("WWW-Authenticate", "Bearer");
      refuse(response, {401, "authentication_error", "this server needs an API key", "", "invalid_api_key"});
      return httplib::Server::HandlerResponse::Handled;
    });
    http_.set_error_handler([this](const Request& request, Response& response) {
      if (!response.body.empty()) return;
      RequestError error{.status = response.status, .message = "a malformed request"};
      if (response.status == 404) {
        error.message = cat("no such address: ", request.method, " ", excerpt(request.path));
        error.code = "not_found";
      } else if (response.status == 413) {
        // A form may only have 8 KB; curl sends one by default.
        const bool form = request.get_header_value("Content-Type").starts_with("application/x-www-form-urlencoded");
        error.message = form ? "send the request with Content-Type: application/json"
                             : cat("the request is larger than ", options_.most_body_bytes, " bytes");
        error.code = "too_large";
      }
      refuse(response, error);
    });
    http_.Get("/", guarded("page", [](const Request&, Response& response) {
                response.set_content(page_html, "text/html; charset=utf-8");
              }));
    http_.Get("/health", [this](const Request&, Response& response) {
      send(response, {{"status", draining_ ? "shutting down" : "ok"}}, draining_ ? 503 : 200);
    });
    http_.Get("/metrics", guarded("metrics", [this](const Request&, Response& response) {
                response.set_content(metrics(), "text/plain; version=0.0.4");
              }));
    http_.Get("/v1/models", guarded("models", [this](const Request&, Response& response) { list_models(response); }));
    http_.Post("/v1/memories", guarded("memories", [this](const Request& request, Response& response) {
                 make_memory(request, response);
               }));
    http_.Get("/v1/memories",
              guarded("memories", [this](const Request&, Response& response) { list_memories(response); }));
    const std::string one = R"(/v1/memories/([^/]+))";
    http_.Get(one, guarded("memory", [this](const Request& request, Response& response) {
                const std::string id = request.matches[1];
                send(response, memory_json(id, *found(id)));
              }));
    http_.Delete(one, guarded("memory", [this](const Request& request, Response& response) {
                   const std::string id = request.matches[1];
                   if (!store_.remove(id)) throw no_memory(id);
                   send(response, {{"id", id}, {"object", "memory.deleted"}, {"deleted", true}});
                 }));
    http_.Post(one + "/append", guarded("append", [this](const Request& request, Response& response) {
                 append_to_memory(request, response);
               }));
    http_.Post("/v1/completions", guarded("completions", [this](const Request& request, Response& response) {
                 complete(request, response, false);
               }));
    http_.Post("/v1/chat/completions", guarded("chat", [this](const Request& request, Response& response) {
                 complete(request, response, true);
               }));
  }

  bool may_enter(const Request& request) const {
    if (keys_.empty() || request.path == "/health" || request.path == "/") return true;
    const std::string header = request.get_header_value("Authorization"), scheme = "Bearer ";
    return header.starts_with(scheme) && keys_.count(hash_hex(trim(header.substr(scheme.size())))) > 0;
  }

  size_t model_index(const std::string& name) const {
    if (name.empty()) return 0;
    std::vector<std::string> names;
    for (size_t i = 0; i < models_.size(); ++i) {
      if (models_[i].name == name) return i;
      names.push_back(models_[i].name);
    }
    throw RequestError{404, "invalid_request_error",
                       cat("no model \"", excerpt(name), "\"; there are: ", join(names, ", ")), "model",
                       "model_not_found"};
  }

  static RequestError no_memory(const std::string& id) {
    return {404, "invalid_request_error", cat("no memory \"", excerpt(id), "\""), "memories", "memory_not_found"};
  }

  std::shared_ptr<const MemoryFile> found(const std::string& id) {
    auto file = store_.find(id);
    if (file == nullptr) throw no_memory(id);
    return file;
  }

  // A memory that this model's compressor made.
  std::shared_ptr<const MemoryFile> found_for(size_t model, const std::string& id) {
    auto file = found(id);
    try {
      require_made_by(*file, *models_[model].compressor, hashes_[model], id);
    } catch (const Error& e) {
      throw RequestError{409, "invalid_request_error", e.what(), "memories", "memory_of_another_model"};
    }
    return file;
  }

  // Seconds since 1970; 0 for a memory that has just been removed.
  int64_t created(const std::string& id) const {
    std::error_code gone;
    const auto written = std::filesystem::last_write_time(store_.path_of(id), gone);
    const auto time = std::chrono::file_clock::to_sys(written).time_since_epoch();
    return gone ? 0 : std::chrono::duration_cast<std::chrono::seconds>(time).count();
  }

  Json memory_json(const std::string& id, const MemoryFile& file) const {
    const Memory& memory = file.memory;
    Json model = nullptr;
    for (size_t i = 0; i < models_.size(); ++i) {
      if (hashes_[i] == file.compressor_hash) model = models_[i].name;
    }
    return {{"id", id},
            {"object", "memory"},
            {"created", created(id)},
            {"model", model},
            {"method", memory.origin.method},
            {"ratio", memory.origin.ratio},
            {"source_tokens", memory.source_tokens[0].item<int64_t>()},
            {"entries", memory.lengths[0].item<int64_t>()},
            {"bytes", memory.bytes(0)}};
  }

  void list_models(Response& response) const {
    Json list = Json::array();
    for (const auto& model : models_) {
      list.push_back({{"id", model.name},
                      {"object", "model"},
                      {"created", 0},
                      {"owned_by", "precis"},
                      {"method", model.compressor->config().method},
                      {"ratios", model.compressor->config().ratio.values}});
    }
    send(response, {{"object", "list"}, {"data", list}});
  }

  void list_memories(Response& response) {
    Json list = Json::array();
    for (const auto& id : store_.ids()) list.push_back({{"id", id}, {"object", "memory"}, {"created", created(id)}});
    send(response, {{"object", "list"}, {"data", list}});
  }

  // The text, the model and the ratio of a request, as JSON or as an uploaded file with form fields.
  struct NewMemory {
    std::string text, model;
    int64_t ratio = 0;
  };
  static NewMemory new_memory(const Request& request) {
    Json object;
    if (request.is_multipart_form_data()) {
      object = Json::object();
      for (const char* name : {"text", "file"}) {
        if (request.has_file(name)) object["text"] = request.get_file_value(name).content;
      }
      if (request.has_file("model")) object["model"] = request.get_file_value("model").content;
      if (request.has_file("ratio")) object["ratio"] = std::atoll(request.get_file_value("ratio").content.c_str());
    } else {
      object = request_object(request.body);
    }
    NewMemory out{string_member(object, "text", ""), string_member(object, "model", "")};
    if (trim(out.text).empty()) throw RequestError{.message = "'text' must be a text", .param = "text"};
    if (first_invalid_utf8(out.text) != std::string::npos)
      throw RequestError{.message = "the text is not valid UTF-8", .param = "text"};
    if (object.contains("ratio") && !object["ratio"].is_null()) {
      if (!object["ratio"].is_number_integer())
        throw RequestError{.message = "'ratio' must be an integer", .param = "ratio"};
      out.ratio = object["ratio"].get<int64_t>();
    }
    return out;
  }

  void keep(Response& response, size_t model, int64_t ratio, const TokenIds& ids, const std::string& source,
            std::shared_ptr<const MemoryFile> before) {
    const std::string id = MemoryStore::id_of(hashes_[model], ratio, source);
    if (const auto known = store_.find(id)) return send(response, memory_json(id, *known));
    const auto start = std::chrono::steady_clock::now();
    const Memory memory = engine_.compress(models_[model].compressor, ratio, ids, std::move(before)).get();
    metrics_.observe("precis_compress_seconds",
                     std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    metrics_.add("precis_compressed_tokens_total", static_cast<int64_t>(ids.size()));
    const MemoryFile file{memory, source, hashes_[model]};
    store_.put(id, file);
    send(response, memory_json(id, file), 201);
  }

  void make_memory(const Request& request, Response& response) {
    const Active active(*this);
    const NewMemory made = new_memory(request);
    const size_t model = model_index(made.model);
    const ServedModel& m = models_[model];
    const int64_t ratio = made.ratio > 0 ? made.ratio : m.compressor->config().ratio.values.front();
    if (!m.compressor->config().ratio.has(ratio))
      throw RequestError{.message = cat("the model \"", m.name, "\" has no ratio ", ratio), .param = "ratio"};
    const TokenIds ids = context_ids(tokenizer_, m.data, made.text, m.compressor->context_begins_with_bos());
    keep(response, model, ratio, ids, source_hash(torch::tensor(ids, torch::kLong)), nullptr);
  }

  void append_to_memory(const Request& request, Response& response) {
    const Active active(*this);
    const NewMemory more = new_memory(request);
    const auto before = found(request.matches[1]);
    size_t model = 0;
    while (model + 1 < models_.size() && hashes_[model] != before->compressor_hash) ++model;
    found_for(model, request.matches[1]);
    const TokenIds ids = tokenizer_.encode(more.text);
    keep(response, model, before->memory.origin.ratio, ids,
         source_hash(torch::tensor(ids, torch::kLong), before->source_hash), before);
  }

  void complete(const Request& http_request, Response& response, bool chat) {
    auto active = std::make_shared<Active>(*this);
    const CompletionRequest request = completion_request(http_request.body, chat);
    const size_t index = model_index(request.model);
    const ServedModel& model = models_[index];
    Generation generation{.compressor = model.compressor, .options = request.options};
    Usage usage;
    for (const auto& id : request.memories) {
      generation.memories.push_back(found_for(index, id));
      usage.memory_entries += generation.memories.back()->memory.lengths[0].item<int64_t>();
      usage.source_tokens += generation.memories.back()->memory.source_tokens[0].item<int64_t>();
    }
    generation.query = query_ids(tokenizer_, model, request);
    if (generation.query.empty())
      throw RequestError{.message = "the prompt is empty", .param = chat ? "messages" : "prompt"};
    generation.options.end_ids = tokenizer_.end_ids;
    generation.options.vocabulary = tokenizer_.vocabulary_size();
    usage.prompt_tokens = usage.memory_entries + static_cast<int64_t>(generation.query.size());
    std::vector<std::string> stops = request.stops;
    if (chat && model.data.answer_end == "newline") stops.push_back("\n");
    auto text = std::make_shared<AnswerText>(tokenizer_, stops);
    generation.on_token = [text](int64_t id) { return text->push(id); };
    generation.on_end = [text](bool at_limit, std::exception_ptr error) { text->end(at_limit, error); };
    engine_.generate(std::move(generation));
    const CompletionAnswer answer(chat, model.name);
    std::optional<std::string> piece = text->next();  // what fails before the first token is an error of the request
    if (request.stream) return stream(response, answer, std::move(piece), text, usage, request, active);
    std::string whole;
    for (; piece; piece = text->next()) whole += *piece;
    send(response, answer.whole(whole, text->finish_reason(), finished(usage, *text)));
  }

  Usage finished(Usage usage, const AnswerText& text) {
    usage.completion_tokens = text.tokens();
    metrics_.add("precis_generated_tokens_total", text.tokens());
    if (text.tokens() > 0) metrics_.observe("precis_first_token_seconds", text.seconds_to_first_token());
    return usage;
  }

  // Server-sent events.
  void stream(Response& response, const CompletionAnswer& answer, std::optional<std::string> first,
              const std::shared_ptr<AnswerText>& text, const Usage& usage, const CompletionRequest& request,
              std::shared_ptr<void> active) {
    response.set_header("Cache-Control", "no-cache");
    const auto event = [](httplib::DataSink& sink, const std::string& data) {
      const std::string line = cat("data: ", data, "\n\n");
      return sink.write(line.data(), line.size());
    };
    const auto dump = [](const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); };
    response.set_chunked_content_provider(
        "text/event-stream",
        [this, answer, first, text, usage, event, dump, chat = request.chat, with_usage = request.stream_usage](
            size_t, httplib::DataSink& sink) {
          try {
            if (chat && !event(sink, dump(answer.first_chunk()))) return false;
            for (std::optional<std::string> piece = first; piece; piece = text->next()) {
              if (!event(sink, dump(answer.chunk(*piece)))) return false;
            }
            const Usage total = finished(usage, *text);
            event(sink, dump(answer.last_chunk(text->finish_reason())));
            if (with_usage) event(sink, dump(answer.usage_chunk(total)));
          } catch (...) {
            event(sink, dump(request_error(std::current_exception()).json()));
          }
          event(sink, "[DONE]");
          sink.done();
          return true;
        },
        [text, active](bool) { text->cancel(); });  // also when the client has left
  }

  std::string metrics() const {
    const Engine::State state = engine_.state();
    return metrics_.text({{"precis_running_generations", static_cast<double>(state.running)},
                          {"precis_waiting_generations", static_cast<double>(state.waiting)},
                          {"precis_compressions", static_cast<double>(state.compressing)},
                          {"precis_memories", static_cast<double>(store_.ids().size())},
                          {"precis_memory_bytes_in_ram", static_cast<double>(store_.bytes_in_ram())}});
  }

  // Counts a request that the shutdown waits for.
  struct Active {
    explicit Active(Implementation& server) : server_(server) { ++server_.active_; }
    ~Active() { --server_.active_; }
    Active(const Active&) = delete;
    Active& operator=(const Active&) = delete;
    Implementation& server_;
  };

  const Tokenizer& tokenizer_;
  std::vector<ServedModel> models_;
  std::vector<std::string> hashes_;
  ServeOptions options_;
  std::set<std::string> keys_;
  MemoryStore store_;
  Metrics metrics_;
  std::atomic<int64_t> active_ = 0;
  std::atomic<bool> draining_ = false;
  bool began_ = false;
  int64_t port_ = -1;
  Engine engine_;  // before the connections, which wait for it
  httplib::Server http_;
};

Server::Server(std::shared_ptr<const Decoder> decoder, const Tokenizer& tokenizer, std::vector<ServedModel> models,
               const ServeOptions& options)
    : implementation_(std::make_unique<Implementation>(std::move(decoder), tokenizer, std::move(models), options)) {}

Server::~Server() = default;

int64_t Server::port() const { return implementation_->port(); }

void Server::run(const std::function<bool()>& stops) { implementation_->run(stops); }

}  // namespace precis
