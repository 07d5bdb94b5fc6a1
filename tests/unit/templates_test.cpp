// Chat templates as ready configurations. The expected texts were rendered with Jinja from the models' own templates
// (SmolLM2-135M-Instruct, Llama 3 and 3.2, Mistral Nemo, Gemma 2, Phi-3.5) or written after them (Qwen2.5, Qwen3 with
// its thinking left out, Mistral 7B v0.3), without BOS.
#include <gtest/gtest.h>

#include "precis/config/schema.h"
#include "precis/core/strings.h"
#include "precis/data/passage_set.h"
#include "precis/data/templates.h"
#include "training.h"

namespace precis {
namespace {

const std::filesystem::path source = PRECIS_SOURCE_DIR;

TEST(ChatTemplates, AreTheModelsOwn) {
  const Json expected = read_json(source / "tests/data/chat_templates.json");
  EXPECT_EQ(expected.size(), 9u);
  for (const auto& [file, text] : expected.items()) {
    const Config config = read_config(source / "configs/templates" / file, CompressorRegistry::built_in().methods());
    const auto filled = [](std::string form) {
      return replace_all(replace_all(form, "{context}", "TEXT"), "{question}", "Who?");
    };
    EXPECT_EQ(filled(config.data.context_template + config.data.query_template), text) << file;
    EXPECT_EQ(filled(config.eval.prompt.with_context), text) << file;
    EXPECT_EQ(config.data.answer_end, "template") << file;
  }
}

TEST(ChatTemplates, AreRecognised) {
  EXPECT_EQ(chat_template_file("{{'<|im_start|>' + message['role']}}"), "chatml.json");
  EXPECT_EQ(chat_template_file("<|im_start|>system\nYou are a helpful AI assistant named SmolLM"), "smollm2.json");
  EXPECT_EQ(chat_template_file("<|start_header_id|>"), "llama-3.json");
  EXPECT_EQ(chat_template_file("<|start_header_id|> Cutting Knowledge Date"), "llama-3.1.json");
  EXPECT_EQ(chat_template_file("\"[INST] \" + message[\"content\"]"), "mistral.json");
  EXPECT_EQ(chat_template_file("\"[INST]\" + message[\"content\"]"), "mistral-tekken.json");
  EXPECT_EQ(chat_template_file("'<start_of_turn>' + role"), "gemma.json");
  EXPECT_EQ(chat_template_file("'<|user|>\n' + message['content'] + '<|end|>\n'"), "phi-3.json");
  EXPECT_EQ(chat_template_file("[INST] <<SYS>>"), "");
  EXPECT_EQ(chat_template_file("### Instruction:"), "");
}

TEST(ChatTemplates, AnAnswerMayEndWithItsTemplate) {
  const auto tokenizer = testing::letter_tokenizer();
  DataConfig data = testing::training_config("unused").data;
  data.query_template = "{question}";
  data.answer_template = "{answer}</s>x";
  data.answer_end = "template";
  const PassageSet set(testing::passages(), *tokenizer, data, false);
  const TrainingSet::Example batch = set.batch(1, 0, 1, Task::qa);
  ASSERT_TRUE(batch.task.labels.defined());
  const int64_t length = batch.task.lengths[0].item<int64_t>();
  EXPECT_EQ(batch.task.labels[0][length - 2].item<int64_t>(), 2);
  EXPECT_EQ(batch.task.labels[0][length - 1].item<int64_t>(), tokenizer->encode("x")[0]);
}

}  // namespace
}  // namespace precis
