// Generated passages whose questions no model can answer without the context:
//   recall  invented people, places, objects, companies and expeditions with 4 to 8 facts each, and questions whose
//           answers stand in the passage once
//   yes-no  the same passages; each question names an answer, right or wrong with equal chance
//   icl     demonstrations: words of two everyday categories with an invented label each; the questions are further
//           words, the options both labels
#pragma once

#include <cstdint>
#include <ostream>

#include "precis/data/qa.h"

namespace precis {

struct SynthOptions {
  std::string kind = "recall";
  int64_t count = 100;    // contexts
  int64_t questions = 3;  // per context, 1 to 4
  int64_t entities = 1;   // passages put one after the other in a context; the others distract
  uint64_t seed = 1;
  std::string split = "train";  // "train" or "eval": invented names share no syllable stock between the two
};

// Passage `index` of the set; a pure function of the options.
Passage synth_passage(const SynthOptions& options, int64_t index);

// The whole set in MRQA format: a header line, then a context a line.
void write_synth(std::ostream& out, const SynthOptions& options);

}  // namespace precis
