#include "precis/data/synth.h"

#include <algorithm>
#include <set>

#include "precis/core/error.h"
#include "precis/core/json.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "synth_facts.h"

namespace precis {
namespace {

using namespace synth;

// Draws values without repetition within a context.
class Maker {
 public:
  Maker(Random& random, const std::string& split)
      : random_(random), onsets_(split == "eval" ? names().eval_onsets : names().train_onsets) {}

  std::string pick(const Words& pool) {
    return fresh([&] { return random_.pick(pool); });
  }
  std::string invented(const Words& ends) {
    return fresh([&] { return random_.pick(onsets_) + random_.pick(names().middles) + random_.pick(ends); });
  }
  std::string person() { return random_.below(2) == 0 ? person_of(names().male) : person_of(names().female); }
  std::string person_of(const Words& pool) { return pick(pool) + " " + invented(names().surname_ends); }

  std::string value_of(const Fact& fact) {
    switch (fact.value) {
      case Value::person:
        return person();
      case Value::thing:
        return invented(names().thing_ends);
      case Value::city:
        return pick(names().cities);
      case Value::job:
        return pick(names().jobs);
      case Value::colour:
        return pick(names().colours);
      case Value::material:
        return pick(names().materials);
      case Value::animal:
        return pick(names().animals);
      case Value::instrument:
        return pick(names().instruments);
      case Value::food:
        return pick(names().foods);
      case Value::sport:
        return pick(names().sports);
      case Value::country:
        return pick(names().countries);
      case Value::number:
        break;
    }
    return fresh([&] { return cat(random_.between(fact.low, fact.high)); });
  }

 private:
  template <class Draw>
  std::string fresh(const Draw& draw) {
    while (true) {
      std::string value = draw();
      if (used_.insert(value).second) return value;
    }
  }

  Random& random_;
  const Words& onsets_;
  std::set<std::string> used_;
};

std::string capitalised(std::string word) {
  word[0] = static_cast<char>(std::toupper(word[0]));
  return word;
}

std::string fill(std::string text, const std::string& name, const std::string& pronoun, const std::string& possessive,
                 const std::string& value) {
  const std::pair<const char*, std::string> parts[] = {{"{n}", name},
                                                       {"{p}", pronoun},
                                                       {"{P}", capitalised(pronoun)},
                                                       {"{o}", possessive},
                                                       {"{O}", capitalised(possessive)},
                                                       {"{v}", value}};
  for (const auto& [key, replacement] : parts) text = replace_all(text, key, replacement);
  for (const char vowel : std::string("aeiou")) {  // "a owl" to "an owl"
    text = replace_all(text, cat(" a ", vowel), cat(" an ", vowel));
    if (text.starts_with(cat("A ", vowel))) text = cat("An", std::string_view(text).substr(1));
  }
  return text;
}

struct Asked {
  std::string question, answer, other;  // other: a wrong answer of the same kind, for yes-no questions
};

std::string describe_entity(Maker& maker, Random& random, bool with_other, std::vector<Asked>& asked) {
  const Kind& kind = random.pick(kinds());
  std::string name, pronoun = "it", possessive = "its";
  if (kind.name == "person") {
    const bool male = random.below(2) == 0;
    name = maker.person_of(male ? names().male : names().female);
    pronoun = male ? "he" : "she";
    possessive = male ? "his" : "her";
  } else if (kind.name == "place") {
    name = maker.invented(names().place_ends);
  } else {
    name = maker.invented(names().thing_ends) + " " + kind.name;
  }
  std::vector<size_t> order(kind.facts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  random.shuffle(order);
  order.resize(std::min<size_t>(order.size(), static_cast<size_t>(random.between(4, 8))));
  std::string text = fill(kind.intro, name, pronoun, possessive, "");
  for (const size_t i : order) {
    const Fact& fact = kind.facts[i];
    const std::string value = maker.value_of(fact);
    text.append(" ").append(fill(random.pick(fact.sentences), name, pronoun, possessive, value));
    asked.push_back({fill(random.pick(fact.questions), name, pronoun, possessive, value), value,
                     with_other ? maker.value_of(fact) : ""});
  }
  return text;
}

size_t occurrences(const std::string& text, const std::string& part) {
  size_t count = 0;
  for (size_t at = text.find(part); at != std::string::npos; at = text.find(part, at + 1)) ++count;
  return count;
}

Passage demonstrations(const SynthOptions& options, int64_t index) {
  Random random(options.seed, "synth/icl/" + options.split, static_cast<uint64_t>(index));
  Maker maker(random, options.split);
  std::vector<const Words*> categories = {&names().animals, &names().foods,     &names().jobs,  &names().colours,
                                          &names().sports,  &names().countries, &names().cities};
  random.shuffle(categories);
  const Words labels = {maker.invented(names().thing_ends), maker.invented(names().thing_ends)};
  const auto draw = [&](int64_t n) {  // words with their labels, half from each category, in random order
    std::vector<std::pair<std::string, std::string>> out;
    for (int64_t i = 0; i < n; ++i) {
      const auto side = static_cast<size_t>(i % 2);
      out.emplace_back(maker.pick(*categories[side]), labels[side]);
    }
    random.shuffle(out);
    return out;
  };
  constexpr int64_t shown = 12;
  Passage passage;
  for (const auto& [word, label] : draw(shown))
    passage.context += cat(passage.context.empty() ? "" : "\n", word, ": ", label);
  for (const auto& [word, label] : draw(options.questions)) {
    passage.questions.push_back(
        {cat("icl-", options.split, "-", options.seed, "-", index, "-", passage.questions.size()),
         cat("What is the label of ", word, "?"),
         {label},
         labels});
  }
  return passage;
}

// A question about a passage, turned into a yes-no question with a proposed answer.
Question yes_no(const Asked& asked, const std::string& id, Random& random) {
  const bool right = random.below(2) == 0;
  return {id,
          cat(asked.question, " Is it ", right ? asked.answer : asked.other, "?"),
          {right ? "yes" : "no"},
          {"yes", "no"}};
}

}  // namespace

Passage synth_passage(const SynthOptions& options, int64_t index) {
  if (options.kind == "icl") return demonstrations(options, index);
  const bool is_yes_no = options.kind == "yes-no";
  Random random(options.seed, "synth/" + options.split, static_cast<uint64_t>(index));
  while (true) {
    Maker maker(random, options.split);
    std::vector<Asked> asked;
    std::vector<std::string> texts;
    for (int64_t i = 0; i < options.entities; ++i) texts.push_back(describe_entity(maker, random, is_yes_no, asked));
    random.shuffle(texts);
    Passage passage{join(texts, " "), {}};
    random.shuffle(asked);
    for (const Asked& fact : asked) {
      const auto made = static_cast<int64_t>(passage.questions.size());
      if (made == options.questions) break;
      if (occurrences(passage.context, fact.answer) != 1) continue;  // once, even as part of other words
      const std::string id = cat("synth-", options.split, "-", options.seed, "-", index, "-", made);
      passage.questions.push_back(is_yes_no ? yes_no(fact, id, random)
                                            : Question{id, fact.question, {fact.answer}, {}});
    }
    if (static_cast<int64_t>(passage.questions.size()) == options.questions) return passage;
  }
}

void write_synth(std::ostream& out, const SynthOptions& options) {
  out << Json{{"header",
               {{"dataset", cat("generated ", options.kind == "recall" ? "fact recall" : options.kind)},
                {"split", options.split},
                {"seed", options.seed}}}}
             .dump()
      << '\n';
  for (int64_t i = 0; i < options.count; ++i) {
    const Passage passage = synth_passage(options, i);
    Json qas = Json::array();
    for (const auto& question : passage.questions) {
      Json qa = {{"qid", question.id}, {"question", question.text}, {"answers", question.answers}};
      if (options.kind == "recall") {
        const size_t at = passage.context.find(question.answers[0]);
        const Json span = Json::array({at, at + question.answers[0].size() - 1});
        qa["detected_answers"] = {{{"text", question.answers[0]}, {"char_spans", Json::array({span})}}};
      } else {
        qa["options"] = question.options;
      }
      qas.push_back(std::move(qa));
    }
    out << Json{{"id", cat("synth-", options.split, "-", options.seed, "-", i)},
                {"context", passage.context},
                {"qas", qas}}
               .dump()
        << '\n';
  }
}

}  // namespace precis
