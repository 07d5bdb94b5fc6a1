// The model card of an exported compressor: README.md in the Hugging Face Hub's form, without paths of this machine.
#pragma once

#include "commands.h"

namespace precis {

// The last part of a path, without the extension of a GGUF file.
std::string last_part(const std::string& path);

// `run`: opened by `command`; scores and the training command are read from its folder, where it has them.
std::string model_card(const OpenRun& run, const ExportCommand& command, const std::string& base_name);

}  // namespace precis
