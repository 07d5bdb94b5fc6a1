#include "precis/data/templates.h"

namespace precis {

std::string fill_template(const std::string& text, const std::string& context, const std::string& question,
                          const std::string& answer) {
  std::string out;
  for (size_t i = 0; i < text.size();) {  // one pass, so that braces in the data are not replaced
    const std::string_view rest = std::string_view(text).substr(i);
    const auto insert = [&](std::string_view key, const std::string& value) {
      if (!rest.starts_with(key)) return false;
      out += value;
      i += key.size();
      return true;
    };
    if (insert("{context}", context) || insert("{question}", question) || insert("{answer}", answer)) continue;
    out += text[i++];
  }
  return out;
}

TokenIds context_ids(const Tokenizer& tokenizer, const DataConfig& data, const std::string& context, bool with_bos) {
  TokenIds ids = tokenizer.encode(fill_template(data.context_template, context, "", ""));
  if (with_bos) ids.insert(ids.begin(), tokenizer.bos_id);
  return ids;
}

}  // namespace precis
