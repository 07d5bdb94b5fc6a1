#include <ATen/Parallel.h>

#include <cstdio>

#include "commands.h"

namespace precis {

void run_pretrain(const PretrainCommand& c) {
  if (c.threads > 0) at::set_num_threads(static_cast<int>(c.threads));
  const Json training = pretrain(c.options, c.out);
  const Json& curve = training.at("curve");
  std::printf("%s: %s parameters, %s steps, last: %s\n", c.out.c_str(), training.at("parameters").dump().c_str(),
              training.at("options").at("steps").dump().c_str(), curve.empty() ? "" : curve.back().dump().c_str());
}

}  // namespace precis
