// Word lists of the generated passages, and facts with their sentences and questions.
#pragma once

#include <string>
#include <vector>

namespace precis::synth {

using Words = std::vector<std::string>;

struct Names {
  Words male, female, cities, jobs, colours, materials, animals, instruments, foods, sports, countries;
  Words train_onsets, eval_onsets, middles, surname_ends, place_ends, thing_ends;
};
const Names& names();

// The kind of an answer. Numbers come from [low, high].
enum class Value { person, thing, city, job, colour, material, animal, instrument, food, sport, country, number };

// In templates: {n} the entity's name, {p} / {P} its pronoun, {o} / {O} its possessive, {v} the value.
struct Fact {
  Value value;
  Words sentences, questions;
  int low = 0, high = 0;
};

struct Kind {
  std::string intro;  // the first sentence
  std::string name;   // "person", "place", or the word that follows an invented name ("Statue")
  std::vector<Fact> facts;
};
const std::vector<Kind>& kinds();

}  // namespace precis::synth
