#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "commands.h"
#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/json.h"
#include "precis/core/strings.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

// The folder with the ready configurations: beside an installed program, or in the source tree above a built one.
fs::path configs_folder() {
  std::error_code failed;
  const fs::path program = fs::read_symlink("/proc/self/exe", failed);
  for (fs::path above = program.parent_path(); !failed && above.has_relative_path(); above = above.parent_path()) {
    for (const fs::path& folder : {above / "share" / "precis" / "configs", above / "configs"}) {
      if (fs::exists(folder / "quickstart" / "common.json")) return folder;
    }
  }
  throw Error({.what = "the ready configurations are not there",
               .where = program.string(),
               .expected = "share/precis/configs beside the program's bin, or configs in a folder above it"});
}

// Names without ".json", such as quickstart/sac.
std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    names.push_back(entry.path().lexically_relative(folder).replace_extension().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

// The comment in front of a configuration, without lines that show how to run it.
std::string about(const fs::path& file) {
  std::string out;
  for (const auto& line : split(read_file(file), '\n')) {
    if (!line.starts_with("//")) break;
    const std::string text(trim(line.substr(2)));
    const bool is_command = text.starts_with("precis ") || text.starts_with("scripts/") || text.starts_with("./");
    if (is_command) continue;
    out += (out.empty() ? "" : " ") + text;
  }
  return out;
}

fs::path file_of(const fs::path& folder, const std::string& given) {
  const std::string name = given.ends_with(".json") ? given.substr(0, given.size() - 5) : given;
  const auto names = names_in(folder);
  if (std::find(names.begin(), names.end(), name) != names.end()) return folder / (name + ".json");
  const std::string near = nearest_word(name, names);
  throw Error({.what = "no such configuration",
               .where = given,
               .hint = near.empty() ? "precis configs lists them" : cat("did you mean ", near, "?")});
}

// The file and those that it extends or names as a sweep's parts.
void add_with_bases(const fs::path& file, std::set<fs::path>& files) {
  if (!files.insert(file).second) return;
  const auto add = [&](const Json& named) {
    for (const Json& one : named.is_array() ? named : Json::array({named})) {
      if (!one.is_string()) continue;
      const fs::path path = (file.parent_path() / one.get<std::string>()).lexically_normal();
      if (fs::exists(path)) add_with_bases(path, files);
    }
  };
  const Json json = read_json(file);
  if (json.contains("extends")) add(json.at("extends"));
  if (!json.contains("sweep")) return;
  for (const char* list : {"methods", "data"}) {
    for (const Json& part : json.at("sweep").value(list, Json::array())) {
      if (part.is_object() && part.contains("config")) add(part.at("config"));
    }
  }
}

}  // namespace

void run_configs(const ConfigsCommand& c) {
  const fs::path folder = configs_folder();
  if (c.action == "list") {
    for (const auto& name : names_in(folder)) {
      if (c.json)
        std::printf("%s\n", Json({{"name", name}, {"about", about(folder / (name + ".json"))}}).dump().c_str());
      else
        std::printf("%-34s %s\n", name.c_str(), excerpt(about(folder / (name + ".json")), 100).c_str());
    }
    return;
  }
  if (c.name.empty()) throw Error({.what = "no configuration named", .where = "configs " + c.action});
  const fs::path file = file_of(folder, c.name);
  if (c.action == "show") return void(std::fputs(read_file(file).c_str(), stdout));
  std::set<fs::path> files;
  add_with_bases(file, files);
  const fs::path target = fs::path(c.to) / "configs";
  for (const auto& one : files) {
    const fs::path copy = target / one.lexically_relative(folder);
    if (fs::exists(copy))
      throw Error({.what = "the file exists already", .where = copy.string(), .hint = "--to names another folder"});
  }
  for (const auto& one : files) {
    const fs::path copy = target / one.lexically_relative(folder);
    make_folder(copy.parent_path());
    write_file_atomically(copy, read_file(one));
    std::printf("%s\n", copy.lexically_normal().c_str());
  }
}

}  // namespace precis
