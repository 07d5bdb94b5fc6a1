// A trained compressor as a folder that Python users run with torch and transformers alone: adapters in PEFT's format,
// the other trained tensors, settings, python/export/compress.py and a model card (docs/formats.md).
#pragma once

#include <filesystem>

#include "commands.h"

namespace precis {

// Fills an existing folder with the compressor that `command` names, opened as `run`. Throws Error if compress.py does
// not cover it.
void write_transformers_folder(const std::filesystem::path& folder, const OpenRun& run, const ExportCommand& command);

}  // namespace precis
