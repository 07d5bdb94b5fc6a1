// answer_from_memory MODEL COMPRESSOR MEMORY PROMPT: the frozen decoder answers a prompt from a memory file, streamed.
#include <precis/compress/checkpoint.h>
#include <precis/compress/made_by.h>
#include <precis/memory/memory_file.h>
#include <precis/model/generate.h>
#include <precis/text/tokenizer.h>
#include <torch/types.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 5) return std::fputs("usage: answer_from_memory MODEL COMPRESSOR MEMORY PROMPT\n", stderr), 2;
  try {
    const auto decoder = precis::load_decoder(argv[1], "auto");
    const auto tokenizer = precis::load_tokenizer(argv[1]);
    const auto compressor =
        precis::load_compressor(argv[2], precis::CompressorRegistry::built_in(), decoder, *tokenizer);
    const precis::MemoryFile file = precis::load_memory(argv[3]);
    precis::require_made_by(file, *compressor, precis::compressor_hash(*compressor), argv[3]);

    const precis::TokenBatch prompt = precis::token_batch({tokenizer->encode(argv[4])});
    const precis::TaskTokens task{precis::Task::qa, prompt.ids, prompt.lengths, {}, torch::zeros({1}, torch::kLong)};
    precis::StreamDecoder stream(*tokenizer);
    const at::NoGradGuard no_gradient;
    precis::generate(*decoder, compressor->prompt(file.memory, task),
                     {.max_new_tokens = 24, .end_ids = tokenizer->end_ids}, [&](int64_t, int64_t id) {
                       std::fputs(stream.push(id).c_str(), stdout);
                       return std::fflush(stdout) == 0;
                     });
    std::puts(stream.finish().c_str());
  } catch (const precis::Error& e) {
    std::fprintf(stderr, "answer_from_memory: %s\n", e.what());
    return e.exit_code();
  }
}
