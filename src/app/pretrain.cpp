#include <ATen/Parallel.h>

#include <cstdio>

#include "commands.h"
#include "precis/core/file.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/data/corpus.h"
#include "precis/text/train_sentencepiece.h"

namespace precis {

void run_pretrain(const PretrainCommand& c) {
  if (c.threads > 0) at::set_num_threads(static_cast<int>(c.threads));
  const ProcessGroup group = ProcessGroup::from_environment("cpu", RunConfig().process_timeout);
  if (!group.leads()) log::set_level(log::Level::warn);
  const Json training = pretrain(c.options, c.out, group);
  if (!group.leads()) return;
  const Json& curve = training.at("curve");
  std::printf("%s: %s parameters, %s steps, last: %s\n", c.out.c_str(), training.at("parameters").dump().c_str(),
              training.at("options").at("steps").dump().c_str(), curve.empty() ? "" : curve.back().dump().c_str());
}

void run_train_tokenizer(const TrainTokenizerCommand& c) {
  std::vector<std::string> lines;
  CorpusReader reader(corpus_files(c.sources), c.field);
  size_t read = 0, bytes = 0;  // of this document, and in all
  while (const auto piece = reader.next()) {
    if (piece->begins_document) read = 0;
    const size_t wanted = std::min(piece->text.size(), static_cast<size_t>(c.bytes) - read);
    const size_t end = wanted == piece->text.size() ? wanted : piece->text.rfind('\n', wanted);
    if (wanted == 0 || end == std::string::npos) continue;
    for (auto& line : split(piece->text.substr(0, end), '\n')) {
      if (!line.empty()) lines.push_back(std::move(line));
    }
    read += wanted;
    bytes += end;
  }
  make_folder(c.out);
  write_sentencepiece_folder(c.out, train_sentencepiece(lines, c.vocabulary));
  std::printf("%s: %lld pieces from %zu bytes of text\n", c.out.c_str(), static_cast<long long>(c.vocabulary), bytes);
}

}  // namespace precis
