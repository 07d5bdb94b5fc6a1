// Question-answering data of any layout: mapped rows, tables, compression, encodings, and rows that cannot be read.
#include "precis/data/qa.h"

#include <gtest/gtest.h>

#include "precis/core/strings.h"
#include "support.h"

namespace precis {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::TemporaryFolder;
using testing::write_text;

using Texts = std::vector<std::string>;

void run_shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

DataConfig fields(FieldsConfig map) {
  DataConfig data;
  data.fields = std::move(map);
  return data;
}

// The only question of a file of this name and content.
struct Asked {
  std::string context;
  Question question;
};
Asked read_one(const std::string& name, const std::string& content, const DataConfig& data = {}) {
  const TemporaryFolder folder;
  write_text(folder / name, content);
  const auto passages = read_qa(folder / name, data);
  EXPECT_EQ(passages.size(), 1u);
  EXPECT_EQ(passages.front().questions.size(), 1u);
  return {passages.front().context, passages.front().questions.front()};
}

std::string failure(const std::string& name, const std::string& content, const DataConfig& data = {}) {
  const TemporaryFolder folder;
  write_text(folder / name, content);
  return error_of([&] { read_qa(folder / name, data); });
}

TEST(Fields, AreDottedPathsListIndicesAndTemplates) {
  const auto [context, question] = read_one(
      "a.jsonl",
      R"({"doc": {"title": "T", "parts": ["one", " two", "three"]}, "query": {"text": "q?"}, "gold": ["x", "y"], "key": {"n": 7}})"
      "\n",
      fields({.context = "{doc.title}\n{doc.parts}",
              .question = "query.text",
              .answers = "gold.1",
              .id = "key.n",
              .options = "options"}));
  EXPECT_EQ(context, "T\none two three");
  EXPECT_EQ(question.text, "q?");
  EXPECT_EQ(question.answers, Texts{"y"});
  EXPECT_EQ(question.id, "7");
}

// HotpotQA's own file has pairs of title and sentences; the hub's has two lists.
TEST(Fields, StarsRepeatATemplateForEachElement) {
  const std::string rest = R"(, "question": "q", "answer": "a", "_id": "i"})"
                           "\n";
  const std::string expected = "A\none. two.\nB\nthree.";
  EXPECT_EQ(read_one("own.jsonl", R"({"context": [["A", ["one.", " two."]], ["B", ["three."]]])" + rest,
                     fields({.context = "{context.*.0}\n{context.*.1}", .answers = "answer", .id = "_id"}))
                .context,
            expected);
  EXPECT_EQ(
      read_one("hub.jsonl", R"({"context": {"title": ["A", "B"], "sentences": [["one.", " two."], ["three."]]})" + rest,
               fields({.context = "{context.title.*}\n{context.sentences.*}", .answers = "answer", .id = "_id"}))
          .context,
      expected);
}

TEST(Fields, HubStyleAnswersAndNumbersAreRead) {
  const auto read = [](const std::string& answers, const std::string& more = "") {
    return read_one("a.jsonl", R"({"id": 12, "context": "c", "question": "q", "answers": )" + answers + more + "}\n")
        .question;
  };
  EXPECT_EQ(read(R"({"text": ["a", "b"], "answer_start": [1, 2]})").answers, (Texts{"a", "b"}));
  EXPECT_EQ(read(R"({"text": [], "answer_start": []})").answers, Texts{""});  // SQuAD 2 without an answer
  EXPECT_EQ(read(R"("a")").id, "12");
  EXPECT_EQ(read("1.5").answers, Texts{"1.5"});
  EXPECT_EQ(read("true").answers, Texts{"yes"});
  EXPECT_EQ(read(R"([{"text": "a", "tokens": ["a"]}, {"text": "b"}])").answers, (Texts{"a", "b"}));
  EXPECT_EQ(read(R"(["", "a"])").answers, Texts{"a"});
  EXPECT_EQ(read(R"("B")", R"(, "options": ["one", "two"])").answers, Texts{"two"});
  EXPECT_EQ(read("0", R"(, "options": ["one", "two"])").answers, Texts{"one"});
  EXPECT_EQ(read(R"("A")", R"(, "options": {"text": ["one", "A"], "label": ["A", "B"]})").answers, Texts{"A"});
  for (const char* bad : {"[]", "null", R"("")", R"(["", " "])"}) {
    const std::string message = failure("a.jsonl", cat(R"({"context": "c", "question": "q", "answers": )", bad, "}\n"));
    EXPECT_CONTAINS(message, "a.jsonl line 1");
    EXPECT_CONTAINS(message, "data.fields.answers");
  }
}

TEST(Fields, ARowMayHaveSeveralQuestionsAndAContextSeveralRows) {
  const TemporaryFolder folder;
  write_text(folder / "coqa.jsonl",
             R"({"story": "s", "questions": ["p", "q"], "answers": {"input_text": ["a", "b"]}, "id": "x"})"
             "\n"
             R"({"story": "t", "questions": ["r"], "answers": {"input_text": ["c"]}, "id": "y"})"
             "\n"
             R"({"story": "s", "questions": ["u"], "answers": {"input_text": ["d"]}, "id": "z"})"
             "\n");
  const auto passages = read_qa(folder / "coqa.jsonl",
                                fields({.context = "story", .question = "questions", .answers = "answers.input_text"}));
  ASSERT_EQ(passages.size(), 2u);
  ASSERT_EQ(passages[0].questions.size(), 3u);
  EXPECT_EQ(passages[0].questions[1].id, "x-1");
  EXPECT_EQ(passages[0].questions[1].answers, Texts{"b"});
  EXPECT_EQ(passages[0].questions[2].text, "u");
  EXPECT_EQ(passages[1].set, "coqa");
  EXPECT_CONTAINS(failure("b.jsonl", R"({"context": "s", "question": ["p", "q"], "answers": ["a"]})"), "a list of 2");
}

TEST(Fields, ErrorsNameLineFieldAndTheNearestKey) {
  const std::string misspelt = R"({"context": "c", "qestion": "q", "answers": "a"})"
                               "\n";
  const std::string message = failure("a.jsonl", "\n" + misspelt);
  EXPECT_CONTAINS(message, "a.jsonl line 2");
  EXPECT_CONTAINS(message, "the field \"question\" is missing");
  EXPECT_CONTAINS(message, "did you mean qestion?");
  EXPECT_CONTAINS(failure("a.json", "[1]"), "a.json: [0]");
  EXPECT_CONTAINS(failure("a.jsonl", R"({"context": {"a": 1}, "question": "q", "answers": "a"})"),
                  "data.fields.context");
  EXPECT_CONTAINS(failure("a.jsonl", R"({"context": "c", "question": "q", "answers": "a"})", fields({.id = "key"})),
                  "the field \"key\" is missing");
  EXPECT_CONTAINS(failure("a.parquet", "PAR1"), "from_hf.py");
  EXPECT_CONTAINS(
      failure("a.jsonl", R"({"context": ["c"], "question": "q", "answers": "a"})", fields({.context = "context..x"})),
      "data.fields.context");
}

TEST(Tables, AreReadAsSpreadsheetsWriteThem) {
  const FieldsConfig map{.context = "{title}: {text}", .question = "q", .answers = "gold"};
  const Asked asked = read_one(
      "a.csv", "\xEF\xBB\xBFtitle,text,q,gold\r\n\"A, or \"\"B\"\"\",\"two\nlines\",why,because\r\n", fields(map));
  EXPECT_EQ(asked.context, "A, or \"B\": two\nlines");
  EXPECT_EQ(asked.question.answers, Texts{"because"});
  EXPECT_EQ(asked.question.id, "a-2");
  EXPECT_EQ(read_one("a.TSV", "title\ttext\tq\tgold\n[1]\tx\ty\t[\"p\", \"q\"]", fields(map)).question.answers,
            (Texts{"p", "q"}));
  EXPECT_EQ(read_one("b.tsv", "title\ttext\tq\tgold\n[1]\tx\ty\tz", fields(map)).context, "[1]: x");
  EXPECT_EQ(
      read_one("hub.csv", "context,question,answers\nc,q,\"{\"\"text\"\": [\"\"a\"\"], \"\"answer_start\"\": [0]}\"\n")
          .question.answers,
      Texts{"a"});
  EXPECT_CONTAINS(failure("a.csv", "title,text,q,gold\na,b,c,d\na,b\n", fields(map)), "a.csv line 3");
  EXPECT_CONTAINS(failure("a.csv", "title,text,q,gold\na,b,\"c,d\n", fields(map)), "does not end");
  EXPECT_CONTAINS(failure("a.csv", "title,text,q,gold\n\"a\"x,b,c,d\n", fields(map)), "behind the quote");
  EXPECT_CONTAINS(failure("a.csv", "q,text,q\n", fields(map)), "duplicate column");
  const std::string deep(100000, '[');  // is text, not a list
  EXPECT_EQ(read_one("a.csv", "context,question,answers\nc,q," + deep + "\n").question.answers, Texts{deep});
  EXPECT_CONTAINS(failure("a.csv", std::string("title,text,q,gold\na,b\0,c,d\n", 26), fields(map)), "column text");
  EXPECT_CONTAINS(failure("a.csv", "title,text,q,gold\na,\xff,c,d\n", fields(map)), "column text");
}

constexpr const char* mrqa_row = R"({"context": "c é", "qas": [{"qid": "1", "question": "q", "answers": ["a"]}]})";

TEST(QaFiles, AnyNameAndCompressionIsRead) {
  const TemporaryFolder folder;
  write_text(folder / "d.jsonl", cat("{\"header\": {}}\n", mrqa_row, "\n"));
  const std::string in = "cd " + folder.path().string() + " && ";
  run_shell(in +
            "gzip -k d.jsonl && xz -k d.jsonl && cp d.jsonl d.ndjson && cp d.jsonl D.JSONL && cp d.jsonl lines.json && "
            "cp d.jsonl.gz D2.JSONL.GZ && xz -k d.ndjson && cp d.jsonl words.target.jsonl");
  run_shell(in +
            "cat d.jsonl.gz d.jsonl.gz > twice.jsonl.gz && cat d.jsonl.xz d.jsonl.xz > twice.jsonl.xz && "
            "mkdir in && cp d.jsonl.gz in/ && cp D.JSONL in/ && echo x > in/README.md && tar cf all.tar in && tar cJf "
            "all.tar.xz in");
  Texts names = {"d.jsonl", "d.jsonl.gz",  "d.jsonl.xz", "d.ndjson",          "d.ndjson.xz",
                 "D.JSONL", "D2.JSONL.GZ", "lines.json", "words.target.jsonl"};
  Texts twice = {"twice.jsonl.gz", "twice.jsonl.xz", "all.tar", "all.tar.xz"};
  if (std::system("command -v zstd > /dev/null") == 0) {
    run_shell(in +
              "zstd -q -k d.jsonl && zstd -q --long=27 < d.jsonl > long.jsonl.zst && zstd -q --ultra --long=31 < "
              "d.jsonl > longest.jsonl.zst && cat d.jsonl.zst d.jsonl.zst > "
              "twice.jsonl.zst");
    names.insert(names.end(), {"d.jsonl.zst", "long.jsonl.zst"});
    twice.push_back("twice.jsonl.zst");
    EXPECT_CONTAINS(error_of([&] { read_qa(folder / "longest.jsonl.zst"); }), "unpack it with zstd -d --long=31");
  }
  for (const auto& name : names) {
    const auto passages = read_qa(folder / name);
    ASSERT_EQ(passages.size(), 1u) << name;
    EXPECT_EQ(passages[0].context, "c é") << name;
  }
  for (const auto& name : twice) EXPECT_EQ(read_qa(folder / name).size(), 2u) << name;
  EXPECT_EQ(set_name("dev/DuoRC.ParaphraseRC.JSONL.gz"), "DuoRC.ParaphraseRC");
  EXPECT_EQ(read_qa(folder / "words.target.jsonl")[0].set, "words.target");
}

TEST(QaFiles, EncodingsAreRead) {
  EXPECT_EQ(read_one("bom.jsonl", cat("\xEF\xBB\xBF", mrqa_row)).context, "c é");
  EXPECT_EQ(read_one("crlf.jsonl", cat("{\"header\": {}}\r\n", mrqa_row, "\r\n\r\n")).context, "c é");
  std::string utf16 = "\xFF\xFE";
  for (const char c : replace_all(mrqa_row, "é", "\xE9")) utf16 += {c, '\0'};
  EXPECT_EQ(read_one("utf16.jsonl", utf16).context, "c é");
  EXPECT_CONTAINS(failure("half.jsonl", utf16.substr(0, utf16.size() - 1)), "not valid UTF-16LE");
  EXPECT_EQ(read_one("nul.jsonl", R"({"context": "a\u0000b", "question": "q", "answers": "a"})").context,
            std::string("a\0b", 3));
  EXPECT_CONTAINS(failure("lone.jsonl", R"({"context": "\ud83d", "question": "q", "answers": "a"})"), "surrogate");
  EXPECT_CONTAINS(failure("lone.jsonl", R"({"context": "\ud83d", "question": "q", "answers": "a"})"),
                  "lone.jsonl line 1");
}

TEST(QaFiles, Squad2sUnanswerableQuestionsHaveAnEmptyAnswer) {
  const auto [context, question] = read_one(
      "d.json", R"({"version": "v2.0", "data": [{"title": "t", "paragraphs": [{"context": "c", "qas": [{"id": "1",
                    "question": "q", "answers": [], "plausible_answers": [{"text": "p"}], "is_impossible": true}]}]}]})");
  EXPECT_EQ(question.answers, Texts{""});
  EXPECT_CONTAINS(
      failure(
          "d.json",
          R"({"data": [{"paragraphs": [{"context": "c", "qas": [{"id": "7", "question": "q", "answers": []}]}]}]})"),
      "data[0].paragraphs[0]: question 7");
}

TEST(QaFiles, BadRowsAreLeftOutOnRequestAndNamed) {
  const TemporaryFolder folder;
  const std::string good = R"({"context": "c", "question": "q", "answers": "a"})"
                           "\n";
  write_text(folder / "d.jsonl",
             good + "{\"context\":\n" + R"({"context": " ", "question": "q", "answers": "a"})" + "\n" + good);
  EXPECT_CONTAINS(error_of([&] { read_qa(folder / "d.jsonl"); }), "line 2");
  DataConfig data;
  data.skip_bad = true;
  ::testing::internal::CaptureStderr();
  EXPECT_EQ(read_qa(folder / "d.jsonl", data).front().questions.size(), 2u);
  const std::string warning = ::testing::internal::GetCapturedStderr();
  EXPECT_CONTAINS(warning, "2 rows left out");
  EXPECT_CONTAINS(warning, "line 2: not valid JSON");
  EXPECT_CONTAINS(warning, "line 3: empty context");
  write_text(folder / "d.csv", "context,question,answers\nc,q,\nc,q\n\"c\"x,q,a\nc,q,a\n");
  EXPECT_EQ(read_qa(folder / "d.csv", data).front().questions.size(), 1u);
  write_text(folder / "none.jsonl", "{}\n");
  EXPECT_CONTAINS(error_of([&] { read_qa(folder / "none.jsonl", data); }), "no questions");
  write_text(folder / "broken.jsonl.gz", "\x1f\x8b\x08 broken");
  EXPECT_CONTAINS(error_of([&] { read_qa(folder / "broken.jsonl.gz", data); }), "corrupt");
}

}  // namespace
}  // namespace precis
