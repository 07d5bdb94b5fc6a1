// Question-answering data: contexts with questions and gold answers, from SQuAD JSON, MRQA jsonl(.gz) (a question may
// have "options" to choose from), or the key-value records of lost-in-the-middle (arXiv 2307.03172), where the question
// is a key.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace precis {

struct Question {
  std::string id, text;
  std::vector<std::string> answers;
  std::vector<std::string> options;  // to choose from; usually empty
};

struct Passage {
  std::string context;
  std::vector<Question> questions;
};

// Reads a data set. Errors name the file and the line or key path; an empty set is an Error.
std::vector<Passage> read_qa(const std::filesystem::path& path);
std::vector<Passage> read_qa(const std::vector<std::string>& paths);  // concatenated in order

}  // namespace precis
