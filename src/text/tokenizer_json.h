// The parts of a tokenizer.json. Each reader adds what a part says to its object; null adds nothing.
#pragma once

#include "pipeline.h"
#include "precis/core/json.h"

namespace precis {

Pipeline pipeline_from_tokenizer_json(const LargeJson& json, const std::string& where);

BpeDefinition read_bpe(const LargeJson& model, const std::string& where);
void read_normalizer(const LargeJson& part, const std::string& where, Normalizer& out);
void read_pre_tokenizer(const LargeJson& part, const std::string& where, PreTokenizer& out);
void read_decoder(const LargeJson& part, const std::string& where, DecoderChain& out);
AddedToken read_added_token(const LargeJson& item, const std::string& where);  // without its id

[[noreturn]] void unsupported(const std::string& part, const std::string& name, const std::string& where,
                              const std::string& expected = "");
const LargeJson& member(const LargeJson& object, const char* key);  // null if there is none
bool option(const LargeJson& part, const char* key, bool fallback, const std::string& where);

}  // namespace precis
