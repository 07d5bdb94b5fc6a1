// Token ids of what a request asks.
#pragma once

#include "precis/serve/server.h"
#include "precis/text/tokenizer.h"
#include "requests.h"

namespace precis {

// The ids that the decoder reads after the memories: a completion's prompt as it is, or a chat in the templates that
// the compressor was trained with. Without memories they begin with BOS, where the model expects it, and the context.
// Names of special tokens are parsed in templates and in a completion's prompt, never in messages and texts.
TokenIds query_ids(const Tokenizer& tokenizer, const ServedModel& model, const CompletionRequest& request);

}  // namespace precis
