#include <filesystem>

#include "commands.h"
#include "precis/compress/checkpoint.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/interrupt.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/serve/server.h"
#include "precis/text/tokenizer.h"
#include "precis/train/run_folder.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// "NAME=FOLDER", or a folder, whose name serves.
std::pair<std::string, std::string> name_and_folder(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != std::string::npos && text.find('/') > equals) return {text.substr(0, equals), text.substr(equals + 1)};
  const fs::path folder = fs::path(text).lexically_normal();
  return {(folder.has_filename() ? folder : folder.parent_path()).filename().string(), text};
}

}  // namespace

void run_serve(const ServeCommand& command, const CompressorRegistry& registry) {
  std::vector<ServedModel> models;
  std::optional<OpenRun> first;
  for (const auto& text : command.compressors) {
    const auto [name, folder] = name_and_folder(text);
    for (const auto& model : models) {
      if (model.name == name)
        throw Error({.what = cat("two compressors are called ", name),
                     .where = "--compressor",
                     .hint = "give them names: --compressor NAME=FOLDER"});
    }
    if (!first) {
      RunOptions options = command.run;
      options.compressor = folder;
      first = open_run(options, registry);
      models.push_back({name, first->config.data, first->compressor});
      continue;
    }
    const fs::path config = fs::path(folder) / "config.json";
    const DataConfig data = fs::exists(config) ? read_config(config, registry.methods()).data : first->config.data;
    const std::string& checkpoint = command.run.checkpoint;
    models.push_back({name, data,
                      load_compressor(checkpoint.empty() ? fs::path(folder) : find_checkpoint(folder, checkpoint),
                                      registry, first->decoder, *first->tokenizer)});
  }
  const InterruptGuard stops_the_server;
  Server server(first->decoder, *first->tokenizer, std::move(models), command.options);
  log::info(cat("listening on http://", command.options.host, ":", server.port()));
  server.run([] { return interrupted(); });
  log::info("stopped");
}

}  // namespace precis
