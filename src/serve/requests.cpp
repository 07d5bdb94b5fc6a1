#include "requests.h"

#include <atomic>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include "precis/core/error.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"
#include "precis/text/utf8.h"

namespace precis {
namespace {

RequestError wrong(const std::string& param, const std::string& message) {
  return {.message = message, .param = param};
}

// Members that would change the answer, with the only value that is possible.
struct Fixed {
  const char* name;
  Json only;
};
const Fixed single_valued[] = {{"n", 1},
                               {"best_of", 1},
                               {"echo", false},
                               {"suffix", ""},
                               {"logprobs", false},
                               {"top_logprobs", 0},
                               {"presence_penalty", 0},
                               {"frequency_penalty", 0},
                               {"tools", Json::array()},
                               {"tool_choice", "none"},
                               {"functions", Json::array()},
                               {"parallel_tool_calls", true},
                               {"response_format", {{"type", "text"}}},
                               {"modalities", Json::array({"text"})}};

double number_member(const Json& o, const char* name, double least, double most, double otherwise) {
  if (!o.contains(name) || o.at(name).is_null()) return otherwise;
  const Json& value = o.at(name);
  if (!value.is_number() || !(value.get<double>() >= least && value.get<double>() <= most))
    throw wrong(name, cat("'", name, "' must be a number from ", least, " to ", most, ", not ", json_kind(value)));
  return value.get<double>();
}

int64_t integer_member(const Json& o, const char* name, int64_t least, int64_t most, int64_t otherwise) {
  if (!o.contains(name) || o.at(name).is_null()) return otherwise;
  const Json& value = o.at(name);
  if (!value.is_number_integer() || value.get<int64_t>() < least || value.get<int64_t>() > most)
    throw wrong(name, cat("'", name, "' must be an integer from ", least, " to ", most, ", not ", json_kind(value)));
  return value.get<int64_t>();
}

bool flag_member(const Json& o, const char* name) {
  if (!o.contains(name) || o.at(name).is_null()) return false;
  if (!o.at(name).is_boolean()) throw wrong(name, cat("'", name, "' must be true or false"));
  return o.at(name).get<bool>();
}

// A string or a list of strings.
std::vector<std::string> strings_member(const Json& o, const char* name) {
  if (!o.contains(name) || o.at(name).is_null()) return {};
  const Json list = o.at(name).is_array() ? o.at(name) : Json::array({o.at(name)});
  std::vector<std::string> out;
  for (const Json& item : list) {
    if (!item.is_string()) throw wrong(name, cat("'", name, "' must be a string or a list of strings"));
    out.push_back(item.get<std::string>());
  }
  return out;
}

// A message's content: a string, or a list of parts of type "text".
std::string content_of(const Json& message) {
  if (!message.contains("content") || message.at("content").is_null()) return "";
  const Json& content = message.at("content");
  if (content.is_string()) return content.get<std::string>();
  if (!content.is_array()) throw wrong("messages", "a message's content must be a string or a list of parts");
  std::string out;
  for (const Json& part : content) {
    if (!part.is_object() || !part.contains("type") || part.at("type") != "text")
      throw wrong("messages", "only parts of type \"text\" can be read");
    out += string_member(part, "text", "");
  }
  return out;
}

std::vector<ChatMessage> messages_of(const Json& o) {
  if (!o.contains("messages") || !o.at("messages").is_array() || o.at("messages").empty())
    throw wrong("messages", "'messages' must be a list with at least one message");
  std::vector<ChatMessage> out;
  for (const Json& message : o.at("messages")) {
    if (!message.is_object()) throw wrong("messages", "a message must be an object");
    std::string role = string_member(message, "role", "");
    if (role == "developer") role = "system";
    if (role != "system" && role != "user" && role != "assistant")
      throw wrong("messages", cat("a message's role must be system, user or assistant, not \"", excerpt(role), "\""));
    out.push_back({role, content_of(message)});
  }
  if (out.back().role != "user") throw wrong("messages", "the last message must be the user's");
  return out;
}

}  // namespace

Json RequestError::json() const {
  const auto or_null = [](const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); };
  return {{"error",
           {{"message", to_valid_utf8(message)}, {"type", type}, {"param", or_null(param)}, {"code", or_null(code)}}}};
}

Json request_object(const std::string& body) {
  Json object;
  try {
    object = parse_json(body, "the request's body");
  } catch (const Error& e) {
    throw RequestError{.message = e.what()};
  }
  if (!object.is_object()) throw RequestError{.message = "the request's body must be a JSON object"};
  return object;
}

std::string string_member(const Json& object, const std::string& name, const std::string& otherwise) {
  if (!object.contains(name) || object.at(name).is_null()) return otherwise;
  if (!object.at(name).is_string()) throw wrong(name, cat("'", name, "' must be a string"));
  return object.at(name).get<std::string>();
}

CompletionRequest completion_request(const std::string& body, bool chat) {
  const Json o = request_object(body);
  for (const Fixed& member : single_valued) {
    if (!o.contains(member.name)) continue;
    const Json& value = o.at(member.name);
    const bool off = value.is_null() || value == member.only || (value.is_array() && value.empty());
    if (!off)
      throw wrong(member.name,
                  cat("'", member.name, "' can only be ", member.only.dump(), " here, not ", json_kind(value)));
  }
  CompletionRequest out;
  out.chat = chat;
  out.model = string_member(o, "model", "");
  if (chat) {
    out.messages = messages_of(o);
  } else {
    const std::vector<std::string> prompts = strings_member(o, "prompt");
    if (prompts.size() != 1) throw wrong("prompt", "'prompt' must be one string");
    out.prompt = prompts.front();
  }
  out.memories = strings_member(o, "memories");
  out.context = string_member(o, "context", "");
  if (!out.memories.empty() && !out.context.empty())
    throw wrong("context", "give either 'memories' or a 'context' that is read in full");
  out.stops = strings_member(o, "stop");
  constexpr int64_t most = int64_t{1} << 20;
  const int64_t length = integer_member(o, "max_tokens", 1, most, chat ? 128 : 16);
  out.options.max_new_tokens = integer_member(o, "max_completion_tokens", 1, most, length);
  out.options.temperature = number_member(o, "temperature", 0, 2, 1);
  out.options.top_p = number_member(o, "top_p", 0, 1, 1);
  out.options.top_k = integer_member(o, "top_k", 0, most, 0);
  const int64_t any_seed = static_cast<int64_t>(std::random_device{}());
  out.options.seed = static_cast<uint64_t>(
      integer_member(o, "seed", std::numeric_limits<int64_t>::min(), std::numeric_limits<int64_t>::max(), any_seed));
  out.stream = flag_member(o, "stream");
  if (o.contains("stream_options") && o.at("stream_options").is_object())
    out.stream_usage = flag_member(o.at("stream_options"), "include_usage");
  if (o.contains("logit_bias") && o.at("logit_bias").is_object() && !o.at("logit_bias").empty())
    throw wrong("logit_bias", "'logit_bias' is not supported");
  return out;
}

Json Usage::json() const {
  return {{"prompt_tokens", prompt_tokens},
          {"completion_tokens", completion_tokens},
          {"total_tokens", prompt_tokens + completion_tokens},
          {"memory_entries", memory_entries},
          {"source_tokens", source_tokens}};
}

CompletionAnswer::CompletionAnswer(bool chat, const std::string& model)
    : chat_(chat),
      model_(model),
      created_(std::chrono::duration_cast<std::chrono::seconds>(std::chrono::system_clock::now().time_since_epoch())
                   .count()) {
  static std::atomic<uint64_t> counter = std::random_device{}();
  id_ = (chat ? "chatcmpl-" : "cmpl-") + hash_hex(cat(created_, ' ', counter++)).substr(0, 24);
}

Json CompletionAnswer::object(const char* completion, const char* chat, Json choices) const {
  return {{"id", id_},
          {"object", chat_ ? chat : completion},
          {"created", created_},
          {"model", model_},
          {"choices", std::move(choices)}};
}

Json CompletionAnswer::whole(const std::string& text, const std::string& finish_reason, const Usage& usage) const {
  Json choice = {{"index", 0}, {"finish_reason", finish_reason}, {"logprobs", nullptr}};
  if (chat_)
    choice["message"] = {{"role", "assistant"}, {"content", text}, {"refusal", nullptr}};
  else
    choice["text"] = text;
  Json out = object("text_completion", "chat.completion", Json::array({choice}));
  out["usage"] = usage.json();
  return out;
}

Json CompletionAnswer::first_chunk() const {
  return object(
      "text_completion", "chat.completion.chunk",
      Json::array({{{"index", 0}, {"delta", {{"role", "assistant"}, {"content", ""}}}, {"finish_reason", nullptr}}}));
}

Json CompletionAnswer::chunk(const std::string& text) const {
  Json choice = {{"index", 0}, {"finish_reason", nullptr}, {"logprobs", nullptr}};
  if (chat_)
    choice["delta"] = {{"content", text}};
  else
    choice["text"] = text;
  return object("text_completion", "chat.completion.chunk", Json::array({choice}));
}

Json CompletionAnswer::last_chunk(const std::string& finish_reason) const {
  Json choice = {{"index", 0}, {"finish_reason", finish_reason}, {"logprobs", nullptr}};
  if (chat_)
    choice["delta"] = Json::object();
  else
    choice["text"] = "";
  return object("text_completion", "chat.completion.chunk", Json::array({choice}));
}

Json CompletionAnswer::usage_chunk(const Usage& usage) const {
  Json out = object("text_completion", "chat.completion.chunk", Json::array());
  out["usage"] = usage.json();
  return out;
}

}  // namespace precis
