#include "precis/methods/beacon.h"
#include "precis/methods/comprexit.h"
#include "precis/methods/mean_pool.h"
#include "precis/methods/memory_tokens.h"
#include "precis/methods/sac.h"

namespace precis {

namespace {

template <class Method>
std::shared_ptr<Compressor> make_method(const CompressorConfig& config, const Compressor::Surroundings& surroundings) {
  return std::make_shared<Method>(config, surroundings);
}

}  // namespace

CompressorRegistry CompressorRegistry::built_in() {
  CompressorRegistry registry;
  registry.add("pic", make_method<MemoryTokens>, MemoryTokens::pic());
  registry.add("icae", make_method<MemoryTokens>, MemoryTokens::icae());
  registry.add("500x", make_method<MemoryTokens>, MemoryTokens::x500());
  registry.add("sac", make_method<Sac>, Sac::about());
  registry.add("mean-pool", make_method<MeanPool>, MeanPool::about());
  registry.add("comprexit", make_method<Comprexit>, Comprexit::about());
  registry.add("beacon", make_method<Beacon>, Beacon::about());
  return registry;
}

}  // namespace precis
