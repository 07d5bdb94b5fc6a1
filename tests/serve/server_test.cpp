// The server around a tiny decoder, asked over HTTP: memories are made once, answers equal `generate`, requests never
// mix, and whatever a client does wrong is an error object.
#include <gtest/gtest.h>
#include <httplib.h>
#include <torch/types.h>

#include <atomic>
#include <thread>

#include "precis/compress/checkpoint.h"
#include "precis/core/strings.h"
#include "precis/data/templates.h"
#include "precis/memory/memory_file.h"
#include "precis/serve/memory_store.h"
#include "precis/serve/server.h"
#include "training.h"

namespace precis {
namespace {

using testing::TemporaryFolder;
using testing::write_text;

const std::string text = "The.mayor.of.Okedale.is.Clara.Winslow.and.her.cat.is.Tom";

// A server with two compressors, `sac` (keys and values) and `pic` (rows), until the end of the test.
class Served {
 public:
  explicit Served(ServeOptions options = {}, const std::filesystem::path& folder = {})
      : tokenizer_(testing::letter_tokenizer()) {
    options.port = 0;
    options.memories = folder.empty() ? folder_ / "memories" : folder;
    options.grace_seconds = 5;
    const DataConfig data = testing::training_config("unused").data;
    const auto decoder = testing::tiny_decoder("cpu", 1024);
    for (const char* method : {"sac", "pic"}) {
      const Config config = testing::training_config(
          "unused", {cat("compressor.method=", method),
                     cat("compressor.carrier=", method == std::string("sac") ? "kv" : "embedding"),
                     "compressor.ratio=4,8", "data.answer_end=newline"});
      models_.push_back(
          {method, config.data,
           CompressorRegistry::built_in().make(config.compressor, surroundings_of(decoder, *tokenizer_, 3))});
      models_.back().compressor->eval();
    }
    decoder_ = decoder;
    server_ = std::make_unique<Server>(decoder, *tokenizer_, models_, options);
    thread_ = std::thread([this] { server_->run([this] { return stops_.load(); }); });
    while (!client().Get("/health")) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ~Served() { stop(); }

  void stop() {
    stops_ = true;
    if (thread_.joinable()) thread_.join();
  }

  httplib::Client client() const {
    httplib::Client out("127.0.0.1", static_cast<int>(server_->port()));
    out.set_read_timeout(60);
    return out;
  }

  struct Answer {
    int status = 0;
    Json body;
  };
  Answer post(const std::string& path, const Json& body) const { return post_text(path, body.dump()); }
  Answer post_text(const std::string& path, const std::string& body, const httplib::Headers& headers = {}) const {
    const auto result = client().Post(path, headers, body, "application/json");
    if (!result) return {};
    return {result->status, Json::parse(result->body)};
  }
  std::string remember(const std::string& what = text, const std::string& model = "sac") const {
    return post("/v1/memories", {{"text", what}, {"model", model}}).body.value("id", "");
  }
  // A greedy answer to a question.
  std::string ask(const std::string& id, const std::string& question, const std::string& model = "sac") const {
    const Answer answer = post("/v1/chat/completions", question_to(id, question, model));
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.body["choices"][0]["message"]["content"];
  }
  static Json question_to(const std::string& id, const std::string& question, const std::string& model = "sac") {
    return {{"model", model},
            {"memories", {id}},
            {"temperature", 0},
            {"max_tokens", 12},
            {"messages", {{{"role", "user"}, {"content", question}}}}};
  }
  // What the library itself answers.
  std::string expected(const std::string& what, const std::string& question, size_t model) const {
    const ServedModel& m = models_[model];
    const c10::InferenceMode inference;
    m.compressor->set_ratio(4);
    const TokenIds ids = context_ids(*tokenizer_, m.data, what, m.compressor->context_begins_with_bos());
    const Memory memory = m.compressor->compress(token_batch({ids}));
    const TokenBatch query = token_batch({encode_template(*tokenizer_, m.data.query_template, {.question = question})});
    GenerateOptions options{
        .max_new_tokens = 12, .end_ids = tokenizer_->end_ids, .vocabulary = tokenizer_->vocabulary_size()};
    const auto out = generate(
        *decoder_,
        m.compressor->prompt(memory, {Task::qa, query.ids, query.lengths, {}, torch::zeros({1}, torch::kLong)}),
        options);
    const std::string whole = tokenizer_->decode(out[0]);
    return whole.substr(0, whole.find('\n'));
  }

 private:
  TemporaryFolder folder_;
  std::unique_ptr<Tokenizer> tokenizer_;
  std::shared_ptr<const Decoder> decoder_;
  std::vector<ServedModel> models_;
  std::unique_ptr<Server> server_;
  std::atomic<bool> stops_ = false;
  std::thread thread_;
};

TEST(Server, ATextIsCompressedOnceAndCanBeRemoved) {
  const Served served;
  const auto first = served.post("/v1/memories", {{"text", text}});
  ASSERT_EQ(first.status, 201) << first.body;
  EXPECT_EQ(first.body["model"], "sac");
  EXPECT_GT(first.body["source_tokens"], first.body["entries"]);
  const auto again = served.post("/v1/memories", {{"text", text}});
  EXPECT_EQ(again.status, 200);
  EXPECT_EQ(again.body["id"], first.body["id"]);
  EXPECT_NE(served.remember(text, "pic"), first.body["id"]);
  EXPECT_NE(served.post("/v1/memories", {{"text", text}, {"ratio", 8}}).body["id"], first.body["id"]);

  httplib::Client client = served.client();
  const std::string path = "/v1/memories/" + first.body["id"].get<std::string>();
  EXPECT_EQ(Json::parse(client.Get("/v1/memories")->body)["data"].size(), 3u);
  EXPECT_EQ(Json::parse(client.Get(path)->body), first.body);
  EXPECT_EQ(client.Delete(path)->status, 200);
  EXPECT_EQ(client.Get(path)->status, 404);
  EXPECT_EQ(client.Delete(path)->status, 404);
}

TEST(Server, FilesAreRead) {
  const Served served;
  const auto sent = served.client().Post(
      "/v1/memories",
      httplib::MultipartFormDataItems{{"file", text, "page.txt", "text/plain"}, {"model", "pic", "", ""}});
  ASSERT_EQ(sent->status, 201) << sent->body;
  EXPECT_EQ(Json::parse(sent->body)["id"], served.remember(text, "pic"));
}

TEST(Server, AnswersAreThoseOfTheLibrary) {
  const Served served;
  for (size_t model = 0; model < 2; ++model) {
    const std::string name = model == 0 ? "sac" : "pic", id = served.remember(text, name);
    for (const char* question : {"Who.is.the.mayor", "What.is.the.cat", "x"})
      EXPECT_EQ(served.ask(id, question, name), served.expected(text, question, model)) << name << " " << question;
  }
}

TEST(Server, StreamsCarryTheSameTextAndTheUsage) {
  const Served served;
  const std::string id = served.remember();
  Json request = Served::question_to(id, "Who");
  const Json whole = served.post("/v1/chat/completions", request).body;
  request["stream"] = true;
  request["stream_options"] = {{"include_usage", true}};
  const auto stream = served.client().Post("/v1/chat/completions", request.dump(), "application/json");
  ASSERT_EQ(stream->get_header_value("Content-Type"), "text/event-stream");
  std::string together, reason;
  Json usage;
  const auto events = split(replace_all(stream->body, "\n\n", "\n"), '\n');
  for (const auto& event : events) {
    if (event.empty() || event == "data: [DONE]") continue;
    const Json chunk = Json::parse(event.substr(6));
    EXPECT_EQ(chunk["object"], "chat.completion.chunk");
    if (chunk.contains("usage")) usage = chunk["usage"];
    for (const Json& choice : chunk["choices"]) {
      together += choice["delta"].value("content", "");
      if (choice["finish_reason"].is_string()) reason = choice["finish_reason"];
    }
  }
  EXPECT_EQ(events[events.size() - 2], "data: [DONE]");
  EXPECT_EQ(together, whole["choices"][0]["message"]["content"]);
  EXPECT_EQ(reason, whole["choices"][0]["finish_reason"]);
  EXPECT_EQ(usage, whole["usage"]);
  EXPECT_EQ(usage["total_tokens"], usage["prompt_tokens"].get<int>() + usage["completion_tokens"].get<int>());
}

TEST(Server, ManyClientsGetTheirOwnAnswers) {
  const Served served(ServeOptions{.engine = {.most_running = 3}});
  std::vector<std::string> ids, alone;
  for (int i = 0; i < 12; ++i) {
    ids.push_back(served.remember(cat(text, i)));
    alone.push_back(served.ask(ids.back(), cat("Who", i)));
  }
  std::vector<std::string> together(12);
  std::vector<std::thread> clients;
  for (size_t i = 0; i < 12; ++i)
    clients.emplace_back([&, i] {
      for (int round = 0; round < 5; ++round) together[i] = served.ask(ids[i], cat("Who", i));
    });
  for (auto& client : clients) client.join();
  EXPECT_EQ(together, alone);
}

TEST(Server, AppendingEqualsCompressingTheWhole) {
  const Served served;
  // A segment has 64 tokens; the letters of this text are one token each.
  const std::string front(64, 'a'), back = "Clara.Winslow.is.the.mayor";
  const auto joined = served.post("/v1/memories/" + served.remember(front, "pic") + "/append", {{"text", back}});
  ASSERT_EQ(joined.status, 201) << joined.body;
  EXPECT_EQ(joined.body["source_tokens"], 64 + static_cast<int>(back.size()));
  const std::string whole = served.remember(front + back, "pic");
  EXPECT_EQ(served.ask(joined.body["id"], "Who", "pic"), served.ask(whole, "Who", "pic"));
}

TEST(Server, SeveralMemoriesAndTextsInFullAreRead) {
  const Served served;
  const std::string a = served.remember("Okedale.has.a.mayor"), b = served.remember("Clara.has.a.cat");
  Json request = Served::question_to(a, "Who");
  request["memories"] = {a, b};
  const auto both = served.post("/v1/chat/completions", request);
  ASSERT_EQ(both.status, 200) << both.body;
  EXPECT_EQ(both.body["usage"]["source_tokens"], 34);
  request["memories"] = Json::array();
  request["context"] = text;
  const auto full = served.post("/v1/chat/completions", request);
  ASSERT_EQ(full.status, 200) << full.body;
  EXPECT_EQ(full.body["usage"]["memory_entries"], 0);
  EXPECT_GT(full.body["usage"]["prompt_tokens"], static_cast<int>(text.size()));
}

TEST(Server, WhatAClientDoesWrongIsAnErrorObject) {
  const Served served(ServeOptions{.most_body_bytes = 4096});
  const std::string id = served.remember(), pic = served.remember(text, "pic"), chat = "/v1/chat/completions";
  const auto with = [&](const std::string& key, const Json& value) {
    Json request = Served::question_to(id, "Who");
    request[key] = value;
    return request.dump();
  };
  const struct {
    std::string path, body, part;
    int status;
  } cases[] = {{chat, "{", "request's body", 400},
               {chat, "[]", "JSON object", 400},
               {chat, "{\"messages\": [{\"role\": \"user\", \"content\": \"\xff\"}]}", "UTF-8", 400},
               {chat, with("messages", Json::array()), "at least one message", 400},
               {chat, with("messages", {{{"role", "robot"}, {"content", "x"}}}), "robot", 400},
               {chat, with("model", "gpt"), "there are: sac, pic", 404},
               {chat, with("memories", {"mem-0123456789abcdef01234567"}), "no memory", 404},
               {chat, with("memories", {"../../etc/passwd"}), "no memory", 404},
               {chat, with("memories", {pic}), "another method", 409},
               {chat, with("n", 2), "'n' can only be 1", 400},
               {chat, with("temperature", -1), "from 0 to 2", 400},
               {chat, with("temperature", "hot"), "from 0 to 2", 400},
               {chat, with("max_tokens", 0), "from 1", 400},
               {chat, with("max_tokens", 2000), "context window", 400},
               {chat, with("context", "x"), "either", 400},
               {"/v1/completions", R"({"model": "sac"})", "one string", 400},
               {"/v1/memories", R"({"text": "  "})", "must be a text", 400},
               {"/v1/memories", R"({"text": 3})", "must be a string", 400},
               {"/v1/memories", R"({"text": "x", "ratio": 5})", "no ratio 5", 400},
               {"/v1/memories", std::string(5000, ' '), "larger than 4096", 413},
               {"/v1/nothing", "{}", "no such address", 404}};
  for (const auto& c : cases) {
    const auto answer = served.post_text(c.path, c.body);
    EXPECT_EQ(answer.status, c.status) << c.part << answer.body;
    ASSERT_TRUE(answer.body.contains("error")) << answer.body;
    EXPECT_CONTAINS(answer.body["error"]["message"].get<std::string>(), c.part);
    EXPECT_TRUE(answer.body["error"].contains("type") && answer.body["error"].contains("code"));
  }
  EXPECT_EQ(served.ask(id, "Who"), served.expected(text, "Who", 0)) << "nothing is broken afterwards";
}

TEST(Server, KeysAreAskedFor) {
  const TemporaryFolder folder;
  write_text(folder / "keys", "# comment\nopen-sesame\n");
  const Served served(ServeOptions{.api_key_file = (folder / "keys").string()});
  EXPECT_EQ(served.post_text("/v1/memories", "{}").status, 401);
  EXPECT_EQ(served.post_text("/v1/memories", "{}", {{"Authorization", "Bearer sesame"}}).status, 401);
  EXPECT_EQ(served.post_text("/v1/memories", R"({"text":"a.b.c"})", {{"Authorization", "Bearer open-sesame"}}).status,
            201);
}

TEST(Server, MemoriesOutliveTheServerAndOneServerHasTheFolder) {
  const TemporaryFolder folder;
  std::string id, answer;
  {
    const Served served({}, folder / "memories");
    id = served.remember();
    answer = served.ask(id, "Who");
    EXPECT_CONTAINS(testing::error_of([&] { Served second({}, folder / "memories"); }), "in use");
  }
  const Served served({}, folder / "memories");
  EXPECT_EQ(served.ask(id, "Who"), answer);
}

TEST(Server, ABrokenMemoryFileIsAnErrorOfItsRequestAlone) {
  const TemporaryFolder folder;
  const Served served(ServeOptions{.ram_bytes = 0}, folder / "memories");
  const std::string id = served.remember(), other = served.remember("Clara.has.a.cat");
  std::filesystem::resize_file(folder / "memories" / (id + ".safetensors"), 100);
  EXPECT_EQ(served.post("/v1/chat/completions", Served::question_to(id, "Who")).status, 400);
  EXPECT_EQ(served.ask(other, "Who"), served.expected("Clara.has.a.cat", "Who", 0));
}

TEST(Server, AShutdownLetsRunningAnswersFinish) {
  Served served;
  const std::string id = served.remember();
  Json request = Served::question_to(id, "Who");
  request["max_tokens"] = 700;
  request["temperature"] = 2;
  std::atomic<int> status = 0;
  std::thread client([&] { status = served.post("/v1/chat/completions", request).status; });
  while (served.client().Get("/metrics")->body.find("precis_running_generations 1") == std::string::npos && status == 0)
    continue;
  served.stop();
  client.join();
  EXPECT_EQ(status, 200);
}

TEST(MemoryStore, KeepsTheMostRecentlyUsedWithinItsBudget) {
  const TemporaryFolder folder;
  const auto compressor = testing::make_compressor(testing::compressor_cases().front());
  const c10::InferenceMode inference;
  const MemoryFile file{compressor->compress(testing::random_contexts({20})), "source", "hash"};
  const int64_t bytes = file.memory.bytes(0);
  MemoryStore store(folder / "memories", 2 * bytes);
  std::vector<std::string> ids;
  for (int i = 0; i < 5; ++i) {
    ids.push_back(MemoryStore::id_of("hash", 4, cat(i)));
    store.put(ids.back(), file);
    EXPECT_LE(store.bytes_in_ram(), 2 * bytes);
  }
  const auto held = store.find(ids[0]);
  for (const auto& id : ids) EXPECT_TRUE(store.find(id) != nullptr);
  EXPECT_EQ(store.bytes_in_ram(), 2 * bytes);
  EXPECT_TRUE(store.remove(ids[0]));
  EXPECT_FALSE(store.find(ids[0]));
  EXPECT_EQ(held->source_hash, "source") << "a memory in use outlives its removal";
}

}  // namespace
}  // namespace precis
