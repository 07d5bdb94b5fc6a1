#include "precis/data/ruler.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <set>

#include "precis/core/error.h"
#include "precis/core/json.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/data/corpus.h"
#include "precis/data/synth.h"
#include "synth_facts.h"

namespace precis {
namespace {

struct Exercise {
  std::string context, question;
  std::vector<std::string> answers;
};

// A context of `parts` parts. The same random numbers are drawn for any number of parts.
using Build = std::function<Exercise(int64_t parts, Random random)>;

constexpr const char* noise =
    "The grass is green. The sky is blue. The sun is yellow. Here we go. There and back again.";

// Draws without repetition.
template <class Draw>
std::vector<std::string> distinct(size_t n, const Draw& draw) {
  std::vector<std::string> out;
  std::set<std::string> used;
  while (out.size() < n) {
    std::string word = draw();
    if (used.insert(word).second) out.push_back(std::move(word));
  }
  return out;
}

std::string letters(Random& random, size_t n, char first) {
  std::string word;
  while (word.size() < n) word += static_cast<char>(first + random.below(26));
  return word;
}

// Two or three syllables: "takilo".
std::string invented_word(Random& random) {
  constexpr std::string_view consonants = "bdfghklmnprstvwz", vowels = "aeiou";
  const auto one_of = [&](std::string_view from) {
    return from[static_cast<size_t>(random.below(static_cast<int64_t>(from.size())))];
  };
  std::string word;
  for (int64_t i = random.between(2, 3); i > 0; --i) word += {one_of(consonants), one_of(vowels)};
  return word;
}

// `lines` of the text with `inserted` ones in front of the given places, which ascend.
std::string with_lines(const std::vector<std::string>& lines, const std::vector<size_t>& places,
                       const std::vector<std::string>& inserted, const char* separator) {
  std::vector<std::string> all;
  size_t next = 0;
  for (size_t i = 0; i <= lines.size(); ++i) {
    for (; next < places.size() && places[next] == i; ++next) all.push_back(inserted[next]);
    if (i < lines.size()) all.push_back(lines[i]);
  }
  return join(all, separator);
}

// Ascending places for `count` insertions among `parts` parts.
std::vector<size_t> random_places(int64_t parts, size_t count, Random& random) {
  std::vector<size_t> places;
  while (places.size() < count) places.push_back(static_cast<size_t>(random.below(parts + 1)));
  std::sort(places.begin(), places.end());
  return places;
}

Exercise needle_in_haystack(const RulerOptions& o, const std::vector<std::string>& sentences, double depth,
                            int64_t parts, Random random) {
  const auto keys = distinct(static_cast<size_t>(o.needles), [&] {  // one draw after another, whatever the compiler
    std::string key = random.pick(synth::names().colours);
    key += "-" + random.pick(synth::names().animals);
    return key += "-" + random.pick(synth::names().instruments);
  });
  const auto values =
      distinct(static_cast<size_t>(o.needles * o.values), [&] { return cat(random.between(1000000, 9999999)); });
  std::vector<std::pair<size_t, std::string>> needles;
  for (size_t i = 0; i < values.size(); ++i) {
    const size_t key = i / static_cast<size_t>(o.values);
    const auto anywhere = static_cast<size_t>(random.below(parts + 1));
    const auto asked = static_cast<size_t>(std::floor(depth * static_cast<double>(parts)));
    needles.emplace_back(i == 0 ? asked : anywhere,
                         cat("One of the special magic numbers for ", keys[key], " is: ", values[i], "."));
  }
  std::stable_sort(needles.begin(), needles.end(), [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<size_t> places;
  std::vector<std::string> texts, lines;
  for (auto& [place, text] : needles) {
    places.push_back(place);
    texts.push_back(std::move(text));
  }
  for (int64_t i = 0; i < parts; ++i) lines.push_back(sentences[static_cast<size_t>(i) % sentences.size()]);
  const bool one = o.values == 1;
  const std::string number = one ? "number" : "numbers", is = one ? "is" : "are", all = one ? "" : " all";
  return {cat(one ? "A" : "Some", " special magic ", number, " ", is,
              " hidden within the following text. Make sure to memorize it. I will quiz you about the ", number,
              " afterwards.\n", with_lines(lines, places, texts, sentences.size() == 1 ? "\n" : " ")),
          cat("What ", is, all, " the special magic ", number, " for ", keys[0],
              " mentioned in the provided text? The special magic ", number, " for ", keys[0],
              " mentioned in the provided text ", is),
          {values.begin(), values.begin() + o.values}};
}

Exercise variable_tracking(const RulerOptions& o, int64_t parts, Random random) {
  const auto variables = distinct(static_cast<size_t>(o.hops) + 1, [&] { return letters(random, 5, 'A'); });
  const std::string value = cat(random.between(10000, 99999));
  std::vector<std::string> chain = {cat("VAR ", variables[0], " = ", value)};
  for (size_t i = 1; i < variables.size(); ++i) chain.push_back(cat("VAR ", variables[i], " = VAR ", variables[i - 1]));
  const std::vector<std::string> lines(static_cast<size_t>(parts), noise);
  return {cat("Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n",
              with_lines(lines, random_places(parts, chain.size(), random), chain, "\n")),
          cat("Question: Find all variables that are assigned the value ", value,
              " in the text above. Answer: According to the chain(s) of variable assignment in the text above, ",
              variables.size(), " variables are assigned the value ", value, ", they are:"),
          variables};
}

Exercise common_words(int64_t length, int64_t parts, Random random) {
  constexpr size_t common = 10;
  const bool short_list = length < 4096;
  const auto words = distinct(common + static_cast<size_t>(parts), [&] { return invented_word(random); });
  std::vector<std::string> list;
  for (size_t i = 0; i < words.size(); ++i) {
    const size_t repeats = i < common ? (short_list ? 6 : 30) : (short_list ? 1 : 3);
    list.insert(list.end(), repeats, words[i]);
  }
  random.shuffle(list);
  for (size_t i = 0; i < list.size(); ++i) list[i] = cat(i + 1, ". ", list[i]);
  return {
      cat("Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones "
          "that appear most often.\n",
          join(list, " ")),
      "Question: What are the 10 most common words in the above list? Answer: The top 10 words that appear most "
      "often in the list are:",
      {words.begin(), words.begin() + common}};
}

Exercise frequent_words(int64_t length, int64_t parts, Random random) {
  auto words =
      distinct(static_cast<size_t>(std::max<int64_t>(length / 50, 8)), [&] { return letters(random, 6, 'a'); });
  words[0] = "...";  // the most frequent one is noise
  constexpr double zeta_2 = 1.6449340668482264;
  std::vector<std::string> list;
  for (size_t k = 0; k < words.size(); ++k) {
    const double rank = static_cast<double>(k) + 1;
    const auto repeats = static_cast<size_t>(static_cast<double>(parts) / (rank * rank * zeta_2));
    list.insert(list.end(), repeats, words[k]);
  }
  random.shuffle(list);
  return {
      cat("Read the following coded text and track the frequency of each coded word. Find the three most frequently "
          "appeared coded words. ",
          join(list, " ")),
      "Question: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently "
      "appeared words in the above coded text? Answer: According to the coded text above, the three most frequently "
      "appeared words are:",
      {words.begin() + 1, words.begin() + 4}};
}

// One passage of the data at its depth, and others around it.
Exercise document_qa(const std::vector<Passage>& passages, double depth, int64_t parts, Random random) {
  std::vector<size_t> order(passages.size());
  std::iota(order.begin(), order.end(), size_t{0});
  random.shuffle(order);
  const Passage& asked = passages[order[0]];
  const Question& question =
      asked.questions[static_cast<size_t>(random.below(static_cast<int64_t>(asked.questions.size())))];
  std::vector<std::string> documents;
  for (size_t i = 1; i < static_cast<size_t>(parts); ++i) documents.push_back(passages[order[i]].context);
  const auto place = static_cast<std::ptrdiff_t>(std::floor(depth * static_cast<double>(documents.size())));
  documents.insert(documents.begin() + place, asked.context);
  for (size_t i = 0; i < documents.size(); ++i) documents[i] = cat("Document ", i + 1, ":\n", documents[i]);
  const std::string instruction =
      "Answer the question based on the given documents. Only give me the answer and do not output any other words.";
  return {cat(instruction, "\n\nThe following are given documents.\n\n", join(documents, "\n\n")),
          cat(instruction, "\n\nQuestion: ", question.text, " Answer:"), question.answers};
}

// The sentences of text files: those that end with a full stop, a question or an exclamation mark.
std::vector<std::string> sentences_of(const std::vector<std::string>& sources) {
  constexpr size_t enough = 100000;
  CorpusReader reader(corpus_files(sources), "text");
  std::vector<std::string> sentences;
  while (const auto piece = reader.next()) {
    std::string sentence;
    for (const char c : piece->text) {
      if (c != '\n' && c != '\r' && c != '\t') {
        sentence += c;
      } else if (!sentence.empty() && sentence.back() != ' ') {
        sentence += ' ';
      }
      const size_t n = sentence.size();
      if (c != ' ' || n < 2 || std::string_view(".?!").find(sentence[n - 2]) == std::string_view::npos) continue;
      sentences.push_back(trim(sentence));
      sentence.clear();
      if (sentences.size() == enough) return sentences;
    }
    if (!trim(sentence).empty()) sentences.push_back(trim(sentence));
  }
  if (sentences.size() < 2)
    throw Error(
        {.what = "the haystack is too short", .where = join(sources, ", "), .expected = "two sentences or more"});
  return sentences;
}

class Generator {
 public:
  Generator(const RulerOptions& options, const MeasureText& measure) : options_(options), measure_(measure) {
    sentences_ = options.haystack.empty() ? std::vector<std::string>{noise} : sentences_of(options.haystack);
    if (options.kind != "qa") return;
    if (!options.data.empty()) passages_ = read_qa(std::filesystem::path(options.data));
    std::erase_if(passages_, [](const Passage& passage) { return passage.questions.empty(); });
    if (!options.data.empty()) return;
    const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end());
    for (int64_t i = 0; i < longest / 20 + 2; ++i)
      passages_.push_back(synth_passage({.seed = options.seed, .split = "eval"}, i));
  }

  // The longest context that fits, for the given depth (0 to 1).
  Exercise make(int64_t length, double depth, int64_t index) {
    const auto build = [&](int64_t parts) {
      return exercise(length, depth, parts,
                      Random(options_.seed, "ruler/" + options_.kind, static_cast<uint64_t>(index)));
    };
    const auto fits = [&](int64_t parts) { return measure_(build(parts).context) <= length; };
    const auto known = parts_of_.find(length);
    int64_t parts = known == parts_of_.end() ? most_parts(length, fits) : known->second;
    parts_of_.emplace(length, parts);
    while (parts > 1 && !fits(parts)) parts -= std::max<int64_t>(1, parts / 100);
    return build(parts);
  }

 private:
  Exercise exercise(int64_t length, double depth, int64_t parts, Random random) const {
    if (options_.kind == "niah") return needle_in_haystack(options_, sentences_, depth, parts, random);
    if (options_.kind == "vt") return variable_tracking(options_, parts, random);
    if (options_.kind == "cwe") return common_words(length, parts, random);
    if (options_.kind == "fwe") return frequent_words(length, parts, random);
    check(options_.kind == "qa", "unknown kind of RULER task");
    return document_qa(passages_, depth, parts, random);
  }

  template <class Fits>
  int64_t most_parts(int64_t length, const Fits& fits) const {
    if (!fits(1))
      throw Error(
          {.what = "the length is too short", .where = "--length", .found = cat(length, " for ", options_.kind)});
    const int64_t limit = options_.kind == "qa" ? static_cast<int64_t>(passages_.size()) : int64_t{1} << 30;
    int64_t low = 1, high = 2;  // low fits, high does not
    while (high <= limit && fits(high)) {
      low = high;
      high *= 2;
    }
    if (high > limit && (limit <= low || fits(limit)))
      throw Error({.what = "too few passages for this length",
                   .where = options_.data,
                   .expected = cat(length, " tokens (--length)"),
                   .found = cat(limit, " passages")});
    high = std::min(high, limit);
    while (high - low > 1) {
      const int64_t middle = low + (high - low) / 2;
      (fits(middle) ? low : high) = middle;
    }
    return low;
  }

  const RulerOptions& options_;
  const MeasureText& measure_;
  std::vector<std::string> sentences_;
  std::vector<Passage> passages_;
  std::map<int64_t, int64_t> parts_of_;  // by length
};

}  // namespace

const std::vector<std::string>& ruler_kinds() {
  static const std::vector<std::string> kinds = {"niah", "vt", "cwe", "fwe", "qa"};
  return kinds;
}

int64_t count_words(const std::string& text) {
  int64_t words = 0;
  bool inside = false;
  for (const char c : text) {
    const bool space = c == ' ' || c == '\n' || c == '\t' || c == '\r';
    words += !space && !inside ? 1 : 0;
    inside = !space;
  }
  return words;
}

void write_ruler(std::ostream& out, const RulerOptions& options, const MeasureText& measure) {
  const bool has_depth = options.kind == "niah" || options.kind == "qa";
  const std::vector<double> depths = has_depth ? options.depths : std::vector<double>{-1};
  out << Json{{"header", {{"dataset", "ruler-" + options.kind}, {"seed", options.seed}}}}.dump() << '\n';
  Generator generator(options, measure);
  int64_t index = 0;
  for (const int64_t length : options.lengths) {
    for (const double depth : depths) {
      for (int64_t i = 0; i < options.count; ++i, ++index) {
        const Exercise made = generator.make(length, std::max(depth, 0.0) / 100, index);
        const std::string id = cat(options.kind, "-", length, "-", index);
        Json qa = {{"qid", id}, {"question", made.question}, {"answers", made.answers}};
        if (has_depth) qa["depth"] = depth / 100;
        out << Json{{"id", id}, {"length", length}, {"context", made.context}, {"qas", Json::array({qa})}}.dump()
            << '\n';
      }
    }
  }
}

}  // namespace precis
