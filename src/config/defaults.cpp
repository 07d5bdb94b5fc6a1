#include "precis/config/config.h"

namespace precis {

namespace {

// docs/results/soft-rows.md has the measurements.
void choose_what_learns(CompressorConfig& c) {
  if (c.method == "pic") {
    c.mask.preset = "pic-local";
    c.memory_rows = "shared";
    c.positions = "chunk_end";
    c.projector = "none";
  }
  if (c.method == "comprexit") {
    c.comprexit.locality = 1;
    c.comprexit.value_init = "identity";
  }
  if (c.method == "comprexit" || c.method == "mean-pool") {
    c.positions = "chunk_end";
    c.projector = "residual";
  }
}

}  // namespace

CompressorConfig compressor_defaults(const std::string& method, const std::string& form) {
  CompressorConfig c;
  c.method = method;
  c.form = form;
  if (method == "icae" || method == "500x") {  // getao/icae and ZongqianLi/500xCompressor, as run in ComprExIT's code
    c.mask.preset = "icae";
    c.segment_length = 512;
    c.encoder_bos = "no";
    c.memory_init = "unit";
    c.projector = "none";
    c.lora = {.rank = 128, .alpha = 32, .dropout = 0.05};
  }
  if (method == "500x") {
    c.carrier = "kv";
    c.lora.targets = {"q_proj", "v_proj"};
  }
  if (method == "sac") {  // lx-Meteors/SAC
    c.carrier = "kv";
    c.ratio = 5;
    c.segment_length = 510;
    c.encoder_bos = c.decoder_bos = "no";
    c.projector = "none";
    c.lora = {.rank = 128, .alpha = 256, .dropout = 0, .targets = {"q_proj", "v_proj"}};
  }
  if (method == "comprexit") {  // Jiangnan0522/ComprExIT
    c.segment_length = 512;
    c.encoder_bos = "no";
    c.lora.rank = 0;
  }
  if (method == "mean-pool") c.segment_length = 512;
  if (form == "default") choose_what_learns(c);
  return c;
}

}  // namespace precis
