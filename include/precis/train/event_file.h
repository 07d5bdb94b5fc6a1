// TensorBoard event files: scalars and texts by tag and step.
#pragma once

#include <filesystem>
#include <string>

namespace precis {

// One event file in `folder`, which is created. Each start of a run writes a file of its own: TensorBoard reads them in
// the order of their names, and `first_step` tells it to forget what earlier files say about that step and later ones.
class EventFile {
 public:
  // Throws Error if the file cannot be written, also from the functions below.
  EventFile(const std::filesystem::path& folder, int64_t first_step);

  void scalar(const std::string& tag, int64_t step, double value);
  void text(const std::string& tag, int64_t step, const std::string& markdown);

  const std::filesystem::path& path() const { return path_; }

 private:
  void append(const std::string& event) const;

  std::filesystem::path path_;
};

}  // namespace precis
