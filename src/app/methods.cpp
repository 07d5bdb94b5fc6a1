#include <cstdio>

#include "commands.h"
#include "precis/config/schema.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

// compressor.* of a method in one of its forms.
Json settings_of(const std::string& method, const std::string& form, const CompressorRegistry& registry) {
  Config config;
  config.compressor = registry.defaults(method, form);
  return to_json(config).at("compressor");
}

}  // namespace

void run_methods(const std::string& name, bool json, const CompressorRegistry& registry) {
  const MethodTable& methods = *registry.methods();
  const auto found = methods.find(name);
  if (!name.empty() && found == methods.end()) {
    const std::string near = nearest_word(name, registry.names());
    throw Error({.what = "no such method",
                 .where = name,
                 .expected = join(registry.names(), ", "),
                 .hint = near.empty() ? "" : cat("did you mean ", near, "?")});
  }
  for (const auto& [method, about] : methods) {
    if (!name.empty() && method != name) continue;
    const Json now = settings_of(method, "default", registry), published = settings_of(method, "published", registry);
    if (json) {
      std::printf("%s\n", Json({{"method", method}, {"about", about.about}, {"default", now}, {"published", published}})
                              .dump()
                              .c_str());
      continue;
    }
    std::printf("%-10s %s\n", method.c_str(), about.about.c_str());
    if (name.empty()) continue;
    std::printf("\n%-44s %-22s %s\n", "its own settings, and where its forms differ", "default", "as published");
    const std::string own = "/" + method + "/";
    const Json flat = now.flatten(), flat_published = published.flatten();
    for (const auto& [path, value] : flat.items()) {
      const Json there = flat_published.contains(path) ? flat_published.at(path) : Json();
      if (path == "/form" || (there == value && !path.starts_with(own))) continue;
      std::printf("%-44s %-22s %s\n", ("compressor" + replace_all(path, "/", ".")).c_str(), value.dump().c_str(),
                  there.dump().c_str());
    }
    std::printf("\nAll settings: precis train compressor.method=%s --print-config\n", method.c_str());
  }
}

}  // namespace precis
