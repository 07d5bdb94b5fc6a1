#include <ATen/Context.h>
#include <ATen/Parallel.h>

#include <cstdlib>

#include "commands.h"
#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/text/tokenizer.h"
#include "precis/train/run_folder.h"

namespace precis {

void set_up_libtorch(const Config& config) {
  const RunConfig& run = config.run;
  if (run.threads > 0) at::set_num_threads(static_cast<int>(run.threads));
  if (run.deterministic) {
    ::setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", 0);    // cuBLAS asks for it; read when its first handle is made
    const bool only_warn = config.model.device != "cpu";  // about an operation without such an algorithm
    at::globalContext().setDeterministicAlgorithms(true, only_warn);
    at::globalContext().setDeterministicFillUninitializedMemory(false);
  }
}

Workspace open_workspace(const Config& config) {
  set_up_libtorch(config);
  Workspace out;
  out.tokenizer = load_tokenizer(config.tokenizer.path.empty() ? config.model.path : config.tokenizer.path);
  out.decoder = load_decoder(config.model.path, config.model.dtype, config.model.device, config.model.decode_dtype);
  const DecoderConfig& c = out.decoder->config();
  log::info(cat(config.model.path, ": ", c.family, ", ", c.parameters(), " parameters in ",
                c10::toString(out.decoder->dtype()), ", ", at::get_num_threads(), " threads"));
  return out;
}

OpenRun open_run(const RunOptions& options, const CompressorRegistry& registry) {
  const std::filesystem::path folder(options.compressor);
  OpenRun run;
  if (std::filesystem::exists(folder / "config.json"))
    run.config = read_config(folder / "config.json", registry.methods());
  if (!options.model.empty()) {
    run.config.model.path = options.model;
    run.config.tokenizer.path.clear();
  }
  if (run.config.model.path.empty()) {
    throw Error({.what = "an exported compressor does not name its base model",
                 .where = options.compressor,
                 .expected = "--model PATH"});
  }
  if (!options.dtype.empty()) run.config.model.dtype = options.dtype;
  if (!options.decode_dtype.empty()) run.config.model.decode_dtype = options.decode_dtype;
  run.config.model.device = options.device;
  run.config.run.threads = options.threads;
  Workspace workspace = open_workspace(run.config);
  run.decoder = workspace.decoder;
  run.tokenizer = std::move(workspace.tokenizer);
  run.compressor = load_compressor(options.checkpoint.empty() ? folder : find_checkpoint(folder, options.checkpoint),
                                   registry, run.decoder, *run.tokenizer);
  if (options.ratio > 0) run.compressor->set_ratio(options.ratio);
  return run;
}

}  // namespace precis
