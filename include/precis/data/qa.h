// Question-answering data: contexts with questions and gold answers, from SQuAD JSON or MRQA jsonl(.gz).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace precis {

struct Question {
  std::string id, text;
  std::vector<std::string> answers;
};

struct Passage {
  std::string context;
  std::vector<Question> questions;
};

// Reads a set; every error names the file and the line or key path. An empty set is an Error.
std::vector<Passage> read_qa(const std::filesystem::path& path);
std::vector<Passage> read_qa(const std::vector<std::string>& paths);  // one after the other

}  // namespace precis
