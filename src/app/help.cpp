#include <CLI/CLI.hpp>
#include <cstdio>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

struct Setting {
  std::string key;
  Json schema;
};

// The settings below `path`, in order, with their place in the JSON Schema.
void list_settings(const std::string& path, const Json& properties, std::vector<Setting>& out) {
  for (const auto& [name, schema] : properties.items()) {
    const std::string key = path.empty() ? name : path + "." + name;
    if (schema.contains("properties")) {
      list_settings(key, schema.at("properties"), out);
      continue;
    }
    out.push_back({key, schema});
    if (schema.contains("items") && schema.at("items").contains("properties"))
      list_settings(key + "[i]", schema.at("items").at("properties"), out);
  }
}

std::vector<Setting> all_settings(const CompressorRegistry& registry) {
  std::vector<Setting> out;
  list_settings("", json_schema(registry.methods()).at("properties"), out);
  return out;
}

std::string allowed_values(const Json& schema) {
  if (schema.contains("anyOf")) return allowed_values(schema.at("anyOf").at(0)) + ", or a list";
  if (schema.contains("items")) return "list of " + allowed_values(schema.at("items"));
  if (schema.contains("enum")) {
    std::vector<std::string> names;
    for (const Json& name : schema.at("enum")) names.push_back(name.dump());
    return join(names, ", ");
  }
  std::string out = schema.value("type", "");
  if (schema.contains("minimum")) out += cat(", at least ", schema.at("minimum").dump());
  if (schema.contains("maximum")) out += cat(", at most ", schema.at("maximum").dump());
  return out;
}

}  // namespace

void run_explain(const std::string& key, const CompressorRegistry& registry) {
  std::vector<std::string> keys, names;
  bool found = false;
  for (const Setting& setting : all_settings(registry)) {
    keys.push_back(setting.key);
    const std::string name = setting.key.substr(setting.key.rfind('.') + 1);
    if (setting.key != key && name != key && !setting.key.starts_with(key + ".") && !setting.key.starts_with(key + "["))
      continue;
    found = true;
    std::printf("%s\n  %s\n  allowed: %s\n", setting.key.c_str(), setting.schema.value("description", "").c_str(),
                allowed_values(setting.schema).c_str());
    if (setting.schema.contains("default")) std::printf("  default: %s\n", setting.schema.at("default").dump().c_str());
  }
  if (found) return;
  const std::string near = nearest_word(key, keys);
  throw Error({.what = "no such setting",
               .where = key,
               .hint = near.empty() ? "docs/config.md lists all" : cat("did you mean ", near, "?")});
}

// A bash function that offers commands, the options of each, files, and keys of the configuration; zsh loads bash's.
void run_completion(const std::string& shell, const CLI::App& app, const CompressorRegistry& registry) {
  std::string keys, commands, cases;
  for (const Setting& setting : all_settings(registry)) keys += setting.key + "= ";
  for (const CLI::App* command : app.get_subcommands({})) {
    commands += command->get_name() + " ";
    std::string options;
    for (const CLI::Option* option : command->get_options()) {
      for (const auto& name : option->get_lnames()) options += "--" + name + " ";
    }
    const bool configured = command->get_option_no_throw("overrides") != nullptr;
    cases += cat("    ", command->get_name(), ") words=\"", options, configured ? "$keys" : "", "\" ;;\n");
  }
  std::printf(
      "# precis completion %s: source this, for instance from ~/.%src\n"
      "%s_precis() {\n"
      "  local current=\"${COMP_WORDS[COMP_CWORD]}\" words keys=\"%s\"\n"
      "  case \"${COMP_WORDS[1]}\" in\n%s    *) words=\"%s\" ;;\n"
      "  esac\n"
      "  [ \"$COMP_CWORD\" -eq 1 ] && words=\"%s\"\n"
      "  COMPREPLY=($(compgen -W \"$words\" -- \"$current\") $(compgen -f -- \"$current\"))\n"
      "  [[ \"${COMPREPLY[0]}\" == *= ]] && compopt -o nospace 2> /dev/null\n"
      "  return 0\n"
      "}\n"
      "complete -o filenames -F _precis precis\n",
      shell.c_str(), shell.c_str(), shell == "zsh" ? "autoload -U +X bashcompinit && bashcompinit\n" : "", keys.c_str(),
      cases.c_str(), commands.c_str(), commands.c_str());
}

}  // namespace precis
