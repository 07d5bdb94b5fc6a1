// Generated passages whose questions no model can answer without the context:
//   recall  invented people, places, objects, companies and expeditions with 4 to 8 facts each; each answer occurs
//           exactly once in the passage
//   yes-no  the same passages; each question proposes an answer, correct with probability 1/2
//   icl     demonstrations: words of two everyday categories, each with an invented label; questions ask for the label
//           of further words, with both labels as options
#pragma once

#include <cstdint>
#include <ostream>

#include "precis/data/qa.h"

namespace precis {

struct SynthOptions {
  std::string kind = "recall";
  int64_t count = 100;    // contexts
  int64_t questions = 3;  // per context, 1 to 4
  int64_t entities = 1;   // passages concatenated in a context; the others are distractors
  uint64_t seed = 1;
  std::string split = "train";  // "train" or "eval": invented names of the two are built from disjoint syllables
};

// Passage `index` of the set; a pure function of the arguments.
Passage synth_passage(const SynthOptions& options, int64_t index);

// The whole set in MRQA format: a header line, then one context per line.
void write_synth(std::ostream& out, const SynthOptions& options);

}  // namespace precis
