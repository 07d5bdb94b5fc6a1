#include "precis/config/compressor_config.h"

namespace precis {

CompressorConfig compressor_defaults(const std::string& method, const std::string& form, const Methods& methods) {
  CompressorConfig config;
  config.method = method;
  config.form = form;
  config.methods = methods;
  const auto found = methods ? methods->find(method) : MethodTable::const_iterator();
  if (!methods || found == methods->end()) return config;
  const Method& about = found->second;
  config.settings = about.settings;
  if (about.published) about.published(config);
  if (about.learns && form == "default") about.learns(config);
  return config;
}

}  // namespace precis
