#include "precis/data/templates.h"

namespace precis {

namespace {

// The template's own text and the inserted texts, in order. One pass, so that braces in the data are not replaced.
std::vector<TextPart> parts_of(const std::string& form, const TemplateFields& fields) {
  std::vector<TextPart> parts = {{"", true}};
  for (size_t i = 0; i < form.size();) {
    const std::string_view rest = std::string_view(form).substr(i);
    const auto insert = [&](std::string_view key, const std::string& value) {
      if (!rest.starts_with(key)) return false;
      parts.push_back({value, false});
      parts.push_back({"", true});
      i += key.size();
      return true;
    };
    if (insert("{context}", fields.context) || insert("{question}", fields.question) ||
        insert("{answer}", fields.answer))
      continue;
    parts.back().text += form[i++];
  }
  return parts;
}

}  // namespace

TokenIds encode_template(const Tokenizer& tokenizer, const std::string& form, const TemplateFields& fields) {
  return tokenizer.encode(parts_of(form, fields));
}

TokenIds context_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::string& context, bool with_bos) {
  TokenIds ids = encode_template(tokenizer, data.context_template, {.context = context});
  if (with_bos) ids.insert(ids.begin(), tokenizer.bos_id);
  return ids;
}

std::string chat_template_file(std::string_view jinja) {
  const auto has = [&](std::string_view part) { return jinja.find(part) != std::string_view::npos; };
  if (has("<|im_sep|>")) return "";  // Phi-4
  if (has("<|im_start|>")) {
    if (has("named SmolLM")) return "smollm2.json";
    return has("You are Qwen, created by Alibaba Cloud") ? "qwen2.5.json" : "chatml.json";
  }
  if (has("<|start_header_id|>")) return has("Cutting Knowledge Date") ? "llama-3.1.json" : "llama-3.json";
  if (has("<start_of_turn>")) return "gemma.json";
  if (has("<|user|>") && has("<|end|>")) return "phi-3.json";
  if (has("<<SYS>>")) return "";  // Llama 2
  if (has("[INST] ")) return "mistral.json";
  return has("[INST]") ? "mistral-tekken.json" : "";
}

}  // namespace precis
