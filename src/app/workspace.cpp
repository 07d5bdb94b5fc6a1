#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include "commands.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/text/tokenizer.h"

namespace precis {

Workspace open_workspace(const Config& config) {
  if (config.run.threads > 0) at::set_num_threads(static_cast<int>(config.run.threads));
  if (config.run.deterministic) {
    at::globalContext().setDeterministicAlgorithms(true, true);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  }
  Workspace out;
  out.tokenizer = load_tokenizer(config.tokenizer.path.empty() ? config.model.path : config.tokenizer.path);
  out.decoder = load_decoder(config.model.path, config.model.dtype, config.model.device);
  const DecoderConfig& c = out.decoder->config();
  log::info(cat(config.model.path, ": ", c.family, ", ", c.parameters(), " parameters in ",
                c10::toString(out.decoder->dtype()), ", ", at::get_num_threads(), " threads"));
  return out;
}

}  // namespace precis
