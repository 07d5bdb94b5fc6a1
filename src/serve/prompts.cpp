#include "prompts.h"

#include "precis/data/templates.h"

namespace precis {
namespace {

void append(TokenIds& ids, const TokenIds& more) { ids.insert(ids.end(), more.begin(), more.end()); }

// Each question in the query template, each answer in its template. System messages precede the next question.
TokenIds chat_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::vector<ChatMessage>& messages) {
  TokenIds ids;
  std::string instructions;
  for (const ChatMessage& message : messages) {
    if (message.role == "system") {
      instructions += message.content + "\n";
    } else if (message.role == "user") {
      append(ids, encode_template(tokenizer, data.query_template, {.question = instructions + message.content}));
      instructions.clear();
    } else {
      append(ids, encode_template(tokenizer, data.answer_template, {.answer = message.content}));
      if (data.answer_end == "eos" && tokenizer.eos_id >= 0) ids.push_back(tokenizer.eos_id);
      if (data.answer_end == "newline") append(ids, tokenizer.encode("\n"));
    }
  }
  return ids;
}

}  // namespace

TokenIds query_ids(const Tokenizer& tokenizer, const ServedModel& model, const CompletionRequest& request) {
  TokenIds ids;
  if (request.memories.empty()) {
    if (tokenizer.adds_bos) ids.push_back(tokenizer.bos_id);
    if (!request.context.empty()) append(ids, context_ids(tokenizer, model.data, request.context, false));
  }
  append(ids,
         request.chat ? chat_ids(tokenizer, model.data, request.messages) : tokenizer.encode(request.prompt, true));
  return ids;
}

}  // namespace precis
