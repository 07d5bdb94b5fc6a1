// Every configuration of configs/data on a few rows in its data set's format.
#include <gtest/gtest.h>

#include "precis/compress/compressor.h"
#include "precis/config/schema.h"
#include "precis/data/qa.h"
#include "support.h"

namespace precis {
namespace {

namespace fs = std::filesystem;

struct Sample {
  std::string config, row, context, question, answer;
};

// Rows as the data sets have them, shortened.
const Sample samples[] = {
    {"pwc", R"({"input": "A text.", "prompt": "Rephrase it.", "answer": "It is a text."})", "A text.", "Rephrase it.",
     "It is a text."},
    {"arxivqa", R"({"context": "An abstract.", "question": "What is it?", "answer": "an abstract"})", "An abstract.",
     "What is it?", "an abstract"},
    {"hotpotqa",
     R"([{"_id": "5a", "question": "q?", "answer": "yes", "type": "bridge", "supporting_facts": [["T", 0]],
          "context": [["T", ["One.", " Two."]], ["U", ["Three."]]]}])",
     "T\nOne. Two.\nU\nThree.", "q?", "yes"},
    {"narrativeqa",
     R"({"document": {"id": "d", "summary": {"text": "S.", "tokens": ["S"]}, "text": "Long."},)"
     R"( "question": {"text": "q?", "tokens": ["q"]}, "answers": [{"text": "a", "tokens": ["a"]}, {"text": "b"}]})",
     "S.", "q?", "a"}};

TEST(DataConfigs, ReadTheirDataSets) {
  const auto methods = CompressorRegistry::built_in().methods();
  const testing::TemporaryFolder folder;
  for (const auto& sample : samples) {
    const Config config = read_config(PRECIS_SOURCE_DIR "/configs/data/" + sample.config + ".json", methods);
    const fs::path file = folder / fs::path(config.data.eval.at(0)).filename().string();
    testing::write_text(file, sample.row + "\n");
    const auto passages = read_qa(file, config.data);
    EXPECT_EQ(passages.at(0).context, sample.context) << sample.config;
    EXPECT_EQ(passages.at(0).questions.at(0).text, sample.question) << sample.config;
    EXPECT_EQ(passages.at(0).questions.at(0).answers.at(0), sample.answer) << sample.config;
  }
}

TEST(DataConfigs, OfMrqaNameItsFiles) {
  const auto methods = CompressorRegistry::built_in().methods();
  for (const char* name :
       {"bioasq", "drop", "duorc", "newsqa", "race", "relation-extraction", "searchqa", "textbookqa", "triviaqa"}) {
    const Config config = read_config(std::string(PRECIS_SOURCE_DIR "/configs/data/") + name + ".json", methods);
    EXPECT_CONTAINS(config.data.eval.at(0), "data/mrqa/dev/");
    EXPECT_FALSE(set_name(config.data.eval.at(0)).empty());
  }
}

// LongBench's public code fills one prompt; ours is compressed up to the context and goes on behind it.
TEST(DataConfigs, OfLongBenchHaveOnePromptInTwoParts) {
  const auto methods = CompressorRegistry::built_in().methods();
  const testing::TemporaryFolder folder;
  testing::write_text(folder / "row.jsonl",
                      R"({"input": "q?", "context": "A text.", "answers": ["a"], "length": 2, "dataset": "trec",)"
                      R"( "language": "en", "all_classes": ["a", "b"], "_id": "x"})"
                      "\n");
  int tasks = 0;
  for (const auto& entry : fs::directory_iterator(PRECIS_SOURCE_DIR "/configs/longbench")) {
    const Config config = read_config(entry.path(), methods);
    if (config.data.eval.empty()) continue;  // the common part
    ++tasks;
    const std::string name = entry.path().stem().string();
    EXPECT_EQ(config.data.context_template + config.data.query_template, config.eval.prompt.with_context) << name;
    EXPECT_EQ(config.eval.metrics.size(), 1u) << name;
    const auto passages = read_qa(folder / "row.jsonl", config.data);
    const Question& question = passages.at(0).questions.at(0);
    EXPECT_EQ(question.id, "x") << name;
    const bool asks = config.data.query_template.find("{question}") != std::string::npos;
    EXPECT_EQ(question.text, asks ? "q?" : "trec") << name;
    EXPECT_EQ(question.options.empty(), config.eval.metrics[0] != "classification") << name;
  }
  EXPECT_EQ(tasks, 16);
}

}  // namespace
}  // namespace precis
