// Requests and answers in the form of OpenAI's API: https://platform.openai.com/docs/api-reference
#pragma once

#include <string>
#include <vector>

#include "precis/core/json.h"
#include "precis/model/generate.h"

namespace precis {

// What a client did wrong: an HTTP status and OpenAI's error object.
struct RequestError {
  int status = 400;
  std::string type = "invalid_request_error", message, param, code;

  Json json() const;
};

struct ChatMessage {
  std::string role, content;
};

// A request to /v1/completions (prompt) or /v1/chat/completions (messages).
struct CompletionRequest {
  std::string model, prompt;
  std::vector<ChatMessage> messages;
  std::vector<std::string> memories;  // ids, read one behind the other
  std::string context;                // a text that is read in full, for comparison
  std::vector<std::string> stops;
  GenerateOptions options;
  bool chat = false, stream = false, stream_usage = false;
};

// Throws RequestError, naming the parameter, for whatever cannot be done.
CompletionRequest completion_request(const std::string& body, bool chat);

// The parsed body, an object. Throws RequestError.
Json request_object(const std::string& body);
// A member that must be a string, or its default. Throws RequestError.
std::string string_member(const Json& object, const std::string& name, const std::string& otherwise);

struct Usage {
  int64_t prompt_tokens = 0, completion_tokens = 0;  // a memory counts with its entries
  int64_t memory_entries = 0, source_tokens = 0;     // of the memories: what they hold, and what it was made from

  Json json() const;
};

// The parts of an answer.
class CompletionAnswer {
 public:
  CompletionAnswer(bool chat, const std::string& model);

  Json whole(const std::string& text, const std::string& finish_reason, const Usage& usage) const;
  Json first_chunk() const;  // of a chat
  Json chunk(const std::string& text) const;
  Json last_chunk(const std::string& finish_reason) const;
  Json usage_chunk(const Usage& usage) const;

 private:
  Json object(const char* completion, const char* chat, Json choices) const;

  bool chat_;
  std::string id_, model_;
  int64_t created_;
};

}  // namespace precis
