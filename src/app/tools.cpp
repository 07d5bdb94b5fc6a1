#include <cstdio>
#include <iostream>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"
#include "precis/text/tokenizer.h"

namespace precis {

void run_tokenize(const std::string& path, bool decode, bool special) {
  const auto tokenizer = load_tokenizer(path);
  size_t number = 0;
  for (std::string line; std::getline(std::cin, line);) {
    const std::string where = cat("standard input line ", ++number);
    if (trim(line).empty()) continue;
    const Json input = parse_json(line, where);
    if (decode) {
      TokenIds ids;
      if (!input.is_array())
        throw Error({.what = "not token ids",
                     .where = where,
                     .expected = "a JSON array of whole numbers",
                     .found = json_kind(input)});
      for (const Json& id : input) {
        if (!id.is_number_integer())
          throw Error({.what = "not a token id", .where = where, .expected = "a whole number", .found = json_kind(id)});
        ids.push_back(id.get<int64_t>());
      }
      std::printf("%s\n", Json(tokenizer->decode(ids, special)).dump().c_str());
    } else {
      if (!input.is_string())
        throw Error({.what = "not text", .where = where, .expected = "a JSON string", .found = json_kind(input)});
      std::printf("%s\n", Json(tokenizer->encode(input.get<std::string>(), special)).dump().c_str());
    }
  }
}

}  // namespace precis
