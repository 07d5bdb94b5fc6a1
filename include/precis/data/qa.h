// Question-answering data: contexts with questions and gold answers. SQuAD JSON, MRQA's records and the key-value
// records of lost-in-the-middle (arXiv 2307.03172) are recognised; any other row of JSON lines, JSON, CSV or TSV is
// read by data.fields (docs/data.md).
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "precis/config/config.h"

namespace precis {

struct Question {
  std::string id, text;
  std::vector<std::string> answers;  // one empty text: the context does not answer the question (SQuAD 2)
  std::vector<std::string> options;  // to choose from; usually empty
  double depth = -1;                 // of the answer in the context, 0 to 1; negative: not known
};

struct Passage {
  std::string context;
  std::vector<Question> questions;
  std::string set = {};  // the data set's name
  int64_t length = 0;    // as the data set gives it (tokens, words); 0: not given
};

// Reads a data set, also compressed or as an archive. Consecutive or not, rows with the same context become one
// passage. Errors name the file and the line or key path; an empty set is an Error. With data.skip_bad, rows that
// cannot be read are left out with a warning.
std::vector<Passage> read_qa(const std::filesystem::path& path, const DataConfig& data = {});
std::vector<Passage> read_qa(const std::vector<std::string>& paths, const DataConfig& data = {});  // one after another

// The name of a file without its folder and the extensions that say how it is stored: "dev/SQuAD.jsonl.gz" is "SQuAD".
std::string set_name(const std::filesystem::path& path);

}  // namespace precis
