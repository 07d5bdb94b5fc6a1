// complete MODEL TEXT: the frozen decoder continues the text, streamed.
#include <precis/model/generate.h>
#include <precis/text/tokenizer.h>
#include <torch/types.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc != 3) return std::fputs("usage: complete MODEL TEXT\n", stderr), 2;
  try {
    const auto decoder = precis::load_decoder(argv[1], "auto");
    const auto tokenizer = precis::load_tokenizer(argv[1]);
    const torch::Tensor ids = torch::tensor(tokenizer->encode(argv[2], true), torch::kLong).unsqueeze(0);
    const torch::Tensor length = torch::tensor({ids.size(1)}, torch::kLong),
                        positions = torch::arange(ids.size(1)).unsqueeze(0);
    precis::StreamDecoder stream(*tokenizer);
    precis::generate(*decoder, {decoder->embed(ids), length, positions},
                     {.max_new_tokens = 24, .end_ids = tokenizer->end_ids}, [&](int64_t, int64_t id) {
                       std::fputs(stream.push(id).c_str(), stdout);
                       std::fflush(stdout);
                       return true;
                     });
    std::puts(stream.finish().c_str());
  } catch (const precis::Error& e) {
    std::fprintf(stderr, "complete: %s\n", e.what());
    return e.exit_code();
  }
}
