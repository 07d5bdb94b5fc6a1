#include "synth_facts.h"

#include <sstream>

namespace precis::synth {
namespace {

Words words(const char* text) {
  std::istringstream in(text);
  Words out;
  for (std::string word; in >> word;) out.push_back(word);
  return out;
}

}  // namespace

const Names& names() {
  static const Names instance = {
      .male = words("Adrian Albert Amos Arthur Boris Bruno Cecil Conrad Daniel Edgar Elias Emil Felix Frank George "
                    "Gustav Harold Henry Hugo Igor "
                    "Isaac Jacob Jasper Jonas Karl Leon Louis Lucas Marcus Martin Max Nathan Oscar Otto Peter Philip "
                    "Ralph Robert Samuel Simon"),
      .female = words("Ada Agnes Alice Anita Beatrice Carla Clara Daisy Dora Edith Elena Erika Esther Fiona Greta "
                      "Hanna Hazel Ida Irene Ivy Joan "
                      "Julia Kate Laura Lily Lydia Martha Mina Miriam Nadia Nina Nora Olga Paula Rachel Rita Rosa Ruth "
                      "Sarah Sofia Stella Vera"),
      .cities = words("Lisbon Vienna Dublin Prague Oslo Warsaw Madrid Athens Berlin Helsinki Toronto Chicago Boston "
                      "Seattle Denver Havana Lima "
                      "Bogota Cairo Nairobi Tokyo Kyoto Delhi Mumbai Sydney Geneva Munich Hamburg Milan Naples Venice "
                      "Krakow Budapest Zagreb "
                      "Glasgow Leeds Bristol Montreal Austin Dallas"),
      .jobs = words("architect baker carpenter chemist dentist engineer farmer gardener geologist journalist judge "
                    "lawyer librarian mechanic "
                    "nurse painter pharmacist photographer pilot plumber sailor sculptor surgeon tailor teacher "
                    "translator watchmaker"),
      .colours = words("red blue green yellow purple orange black white brown pink grey silver"),
      .materials = words("bronze marble oak glass ivory copper granite iron clay silk leather steel"),
      .animals = words("cat dog parrot horse rabbit goat turtle owl donkey sheep fox swan"),
      .instruments = words("piano violin cello flute guitar trumpet harp drums clarinet accordion"),
      .foods = words("bread cheese honey wine chocolate olives apples tea salt soap"),
      .sports = words("tennis chess swimming rowing fencing boxing cycling golf sailing archery"),
      .countries = words("Norway Peru Kenya Japan Brazil Chile Greenland Iceland India Mexico Morocco Nepal Poland "
                         "Portugal Turkey Vietnam Canada Egypt"),
      .train_onsets = words("Bar Cal Dor Fen Gar Hal Kel Lor Mar Nor Pel Ros Sel Tor Val Wen Bran Crel Drom Flan"),
      .eval_onsets = words("Ash Bel Cor Dun Els Far Gil Hol Jar Lam Mel Oth Pen Rav Sten Thal Ul Ver Wil Zan"),
      .middles = words("a e i o an en er in or el"),
      .surname_ends = words("son ton ley wick man berg stein mont field ford court well dale croft"),
      .place_ends = words("ville ham port bury stead haven burg mouth bridge holm gate mere"),
      .thing_ends = words("ra lis dor nia thos mir vane lex tis ron")};
  return instance;
}

const std::vector<Kind>& kinds() {
  using enum Value;
  static const std::vector<Kind> instance = {
      {"{n} was a person of some fame.",
       "person",
       {{number,
         {"{n} was born in {v}.", "{P} was born in the year {v}."},
         {"In what year was {n} born?", "When was {n} born?"},
         1802,
         1998},
        {city, {"{O} birthplace is {v}.", "{P} grew up in {v}."}, {"In which city did {n} grow up?"}},
        {job,
         {"{P} worked as a {v}.", "By profession {p} was a {v}."},
         {"What was the profession of {n}?", "What did {n} work as?"}},
        {person, {"{P} married {v}.", "{P} was married to {v}."}, {"Who did {n} marry?", "To whom was {n} married?"}},
        {person,
         {"{O} teacher was {v}.", "{P} was taught by {v}."},
         {"Who was the teacher of {n}?", "Who taught {n}?"}},
        {number,
         {"{P} had {v} children.", "In all {p} raised {v} children."},
         {"How many children did {n} have?"},
         2,
         9},
        {colour,
         {"{O} favourite colour was {v}.", "{P} liked the colour {v} best."},
         {"What was the favourite colour of {n}?"}},
        {animal,
         {"{P} kept a {v} as a pet.", "{O} pet was a {v}."},
         {"What pet did {n} have?", "Which animal did {n} keep as a pet?"}},
        {instrument,
         {"{P} played the {v}.", "In the evenings {p} played the {v}."},
         {"Which instrument did {n} play?"}},
        {sport,
         {"{O} favourite sport was {v}.", "{P} spent the weekends on {o} favourite sport, {v}."},
         {"What was the favourite sport of {n}?"}},
        {number,
         {"{P} died in {v}.", "{O} death came in {v}."},
         {"In what year did {n} die?", "When did {n} die?"},
         1802,
         1998}}},
      {"{n} is a town.",
       "place",
       {{person,
         {"{n} was founded by {v}.", "The founder of the town was {v}."},
         {"Who founded {n}?", "Who was the founder of {n}?"}},
        {number,
         {"The town was founded in {v}.", "{P} dates from the year {v}."},
         {"In what year was {n} founded?", "When was {n} founded?"},
         1802,
         1998},
        {number,
         {"{P} has {v} inhabitants.", "About {v} people live in {n}."},
         {"How many people live in {n}?", "How many inhabitants does {n} have?"},
         1200,
         9800},
        {thing,
         {"{P} lies on the river {v}.", "The river {v} flows through the town."},
         {"Which river flows through {n}?", "On which river does {n} lie?"}},
        {person, {"The mayor of {n} is {v}.", "{O} mayor is {v}."}, {"Who is the mayor of {n}?"}},
        {food,
         {"{P} is famous for its {v}.", "The town is known for its {v}."},
         {"What is {n} famous for?", "For what product is {n} known?"}},
        {country, {"{P} is a small town in {v}.", "The town is located in {v}."}, {"In which country is {n}?"}},
        {colour,
         {"The roofs of the houses are {v}.", "All the roofs of {n} are painted {v}."},
         {"What colour are the roofs of {n}?"}},
        {number,
         {"There are {v} bridges in the town.", "{P} has {v} bridges."},
         {"How many bridges are there in {n}?"},
         11,
         48}}},
      {"The {n} is a work of art.",
       "Statue",
       {{person, {"It was made by {v}.", "The artist who made it was {v}."}, {"Who made the {n}?"}},
        {number,
         {"It was made in {v}.", "It was finished in the year {v}."},
         {"In what year was the {n} made?", "When was the {n} made?"},
         1802,
         1998},
        {material,
         {"It is made of {v}.", "The material of the statue is {v}."},
         {"What is the {n} made of?", "What material is the {n} made of?"}},
        {city,
         {"It stands in a museum in {v}.", "Today it can be seen in {v}."},
         {"In which city is the {n}?", "In which city can the {n} be seen?"}},
        {person, {"Its first owner was {v}.", "It was first owned by {v}."}, {"Who was the first owner of the {n}?"}},
        {number,
         {"It is {v} centimetres high.", "The statue has a height of {v} centimetres."},
         {"How many centimetres high is the {n}?"},
         31,
         480},
        {number,
         {"It was sold for {v} dollars.", "The buyer paid {v} dollars."},
         {"For how many dollars was the {n} sold?"},
         1200,
         9800},
        {colour, {"Its colour is {v}.", "It is painted {v}."}, {"What colour is the {n}?"}},
        {animal, {"It shows a {v}.", "The statue has the shape of a {v}."}, {"Which animal does the {n} show?"}}}},
      {"{n} is a family business.",
       "Company",
       {{person, {"{n} was founded by {v}.", "The founder of the company was {v}."}, {"Who founded {n}?"}},
        {number,
         {"The company was founded in {v}.", "It opened its doors in {v}."},
         {"In what year was {n} founded?"},
         1802,
         1998},
        {city,
         {"It has its headquarters in {v}.", "The head office is in {v}."},
         {"In which city are the headquarters of {n}?"}},
        {food, {"{n} sells {v}.", "The company makes {v}."}, {"What does {n} sell?", "What product does {n} make?"}},
        {number,
         {"It employs {v} people.", "The company has {v} employees."},
         {"How many people does {n} employ?", "How many employees does {n} have?"},
         120,
         990},
        {person,
         {"Its director is {v}.", "The company is led by {v}."},
         {"Who is the director of {n}?", "Who leads {n}?"}},
        {animal,
         {"Its logo shows a {v}.", "The logo of the company is a {v}."},
         {"Which animal is in the logo of {n}?"}},
        {colour, {"The delivery vans are {v}.", "Its vans are painted {v}."}, {"What colour are the vans of {n}?"}}}},
      {"The {n} was a long journey.",
       "Expedition",
       {{person,
         {"The leader of the {n} was {v}.", "It was led by {v}."},
         {"Who led the {n}?", "Who was the leader of the {n}?"}},
        {number,
         {"It set out in {v}.", "It began in the year {v}."},
         {"In what year did the {n} begin?", "When did the {n} set out?"},
         1802,
         1998},
        {country, {"It travelled to {v}.", "The team explored {v}."}, {"To which country did the {n} travel?"}},
        {city, {"It started from {v}.", "The team left from {v}."}, {"From which city did the {n} start?"}},
        {number, {"It had {v} members.", "The team had {v} members."}, {"How many members did the {n} have?"}, 12, 95},
        {number, {"It lasted {v} days.", "The journey took {v} days."}, {"How many days did the {n} last?"}, 101, 480},
        {thing,
         {"The ship was called {v}.", "The team sailed on a ship named {v}."},
         {"What was the name of the ship of the {n}?"}},
        {animal,
         {"The team took along a {v}.", "A {v} travelled with the team."},
         {"Which animal travelled with the {n}?"}}}}};
  return instance;
}

}  // namespace precis::synth
