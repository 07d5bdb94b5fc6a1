#include "precis/config/config.h"

namespace precis {

CompressorConfig compressor_defaults(const std::string& method) {
  CompressorConfig c;
  c.method = method;
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
  return c;
}

}  // namespace precis
