// Corpora: reading files, prepared shards, windows, and the permutation that shuffles them.
#include <gtest/gtest.h>

#include <set>

#include "precis/core/file.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/core/unpack.h"
#include "precis/data/corpus.h"
#include "precis/data/corpus_windows.h"
#include "support.h"
#include "training.h"

namespace precis {
namespace {

namespace fs = std::filesystem;
using testing::error_of;
using testing::TemporaryFolder;
using testing::write_text;

void shell(const std::string& command) { ASSERT_EQ(std::system(command.c_str()), 0) << command; }

std::vector<std::string> texts(const std::vector<std::string>& sources, const std::string& field = "text",
                               size_t piece_bytes = 1 << 20) {
  CorpusReader reader(corpus_files(sources), field, piece_bytes);
  std::vector<std::string> out;
  while (const auto piece = reader.next()) {
    if (piece->begins_document) out.emplace_back();
    out.back() += piece->text;
  }
  return out;
}

TEST(Corpus, EveryFormatGivesTheSameDocuments) {
  const TemporaryFolder folder;
  const std::vector<std::string> expected = {"first\n\nbook é", "second"};
  write_text(folder / "1.txt", expected[0]);
  write_text(folder / "2.md", expected[1]);
  write_text(folder / "a.jsonl", "{\"header\":{}}\n{\"text\":\"first\\n\\nbook é\"}\n\n{\"text\":\"second\",\"x\":1}");
  shell("cd " + folder.path().string() +
        " && gzip -k a.jsonl && xz -k a.jsonl && tar cJf both.tar.xz 1.txt 2.md && tar cf both.tar 1.txt 2.md");
  EXPECT_EQ(texts({folder / "1.txt", folder / "2.md"}), expected);
  for (const char* name : {"a.jsonl", "a.jsonl.gz", "a.jsonl.xz", "both.tar.xz", "both.tar"})
    EXPECT_EQ(texts({folder / name}), expected) << name;
  if (std::system("command -v zstd > /dev/null") == 0) {
    shell("zstd -q -k " + (folder / "a.jsonl").string());
    EXPECT_EQ(texts({folder / "a.jsonl.zst"}), expected);
  }
  fs::create_directories(folder / "deep" / "er");
  write_text(folder / "deep" / "er" / "b.txt", "below");
  write_text(folder / "deep" / "notes.pdf", "no text");
  EXPECT_EQ(texts({folder / "deep"}), (std::vector<std::string>{"below"}));
  EXPECT_EQ(texts({folder / "*.txt", folder / "2.md"}), expected);
}

TEST(Corpus, LongDocumentsComeInPiecesThatEndWithALineOrACharacter) {
  const TemporaryFolder folder;
  std::string text;
  for (int i = 0; i < 2000; ++i) text += cat("line ", i, " ééé\n");
  text += std::string(5000, 'x') + "\xC3\xA9\xC3\xA9";
  write_text(folder / "long.txt", text);
  for (const size_t piece : {16, 1000, 4999, 1 << 20}) {
    EXPECT_EQ(texts({folder / "long.txt"}, "text", piece), (std::vector<std::string>{text})) << piece;
    CorpusReader reader(corpus_files({folder / "long.txt"}), "text", piece);
    size_t pieces = 0;
    while (const auto p = reader.next()) {
      EXPECT_LE(p->text.size(), piece);
      ++pieces;
    }
    EXPECT_GE(pieces, text.size() / piece);
  }
}

TEST(Corpus, FollowsLinkedFoldersOnceAndUnpacksMembersOfAnArchive) {
  const TemporaryFolder folder;
  fs::create_directories(folder / "books/one");
  fs::create_directories(folder / "elsewhere");
  write_text(folder / "books/one/a.txt", "a");
  write_text(folder / "elsewhere/b.txt", "b");
  fs::create_directory_symlink("../elsewhere", folder / "books/two");
  fs::create_directory_symlink("..", folder / "books/one/up");  // a cycle
  EXPECT_EQ(texts({folder / "books"}), (std::vector<std::string>{"a", "b"}));
  write_text(folder / "c.jsonl", R"({"text":"c"})");
  shell("cd " + folder.path().string() +
        " && gzip -k c.jsonl && xz -k elsewhere/b.txt && tar cf p.tar c.jsonl.gz -C elsewhere b.txt.xz && "
        "head -c 30 c.jsonl.gz > d.jsonl.gz && tar cf q.tar d.jsonl.gz");
  EXPECT_EQ(texts({folder / "p.tar"}), (std::vector<std::string>{"c", "b"}));
  EXPECT_CONTAINS(error_of([&] { texts({folder / "q.tar"}); }), "q.tar");
}

TEST(Corpus, ByteOrderMarksAndExtensionsInCapitalsAreRead) {
  const TemporaryFolder folder;
  write_text(folder / "A.TXT", "\xEF\xBB\xBFtext");
  write_text(folder / "b.JSONL", "\xEF\xBB\xBF{\"text\": \"line\"}\r\n");
  EXPECT_EQ(texts({folder.path()}), (std::vector<std::string>{"text", "line"}));
  write_text(folder / "c.txt", std::string("\xFF\xFEx\0", 4));
  EXPECT_CONTAINS(error_of([&] { texts({folder / "c.txt"}); }), "UTF-16");
}

TEST(Corpus, ErrorsNameTheFile) {
  const TemporaryFolder folder;
  const auto expect = [&](const std::string& name, const std::string& content, const std::string& pattern) {
    write_text(folder / name, content);
    const std::string message = error_of([&] { texts({folder / name}); });
    EXPECT_CONTAINS(message, pattern) << message;
    EXPECT_CONTAINS(message, name) << message;
  };
  expect("a.jsonl", "{\"text\":\"x\"}\n{\"txet\":\"y\"}\n", "line 2");
  expect("b.jsonl", "{\"text\":\"x\"}\n{\"text\":\n", "line 2");
  expect("c.jsonl", "{\"text\":3}", "wrong type");
  expect("d.txt", "a\xff", "not valid UTF-8");
  expect("e.doc", "x", "unknown kind");
  expect("f.txt.gz", "\x1f\x8b\x08 broken", "corrupt");
  write_text(folder / "g.txt", std::string(100000, 'g'));
  shell("cd " + folder.path().string() + " && xz g.txt && head -c 60 g.txt.xz > h.txt.xz");
  EXPECT_CONTAINS(error_of([&] { texts({folder / "h.txt.xz"}); }), "h.txt.xz");
  EXPECT_CONTAINS(error_of([&] { corpus_files({folder / "none*.txt"}); }), "no such file");
  fs::create_directories(folder / "empty");
  EXPECT_CONTAINS(error_of([&] { corpus_files({folder / "empty"}); }), "no text file");
}

TEST(Permutation, IsOneAndDependsOnEverything) {
  for (const int64_t size : {1, 2, 3, 5, 16, 17, 1000, 4097}) {
    const Permutation p(size, 1, "epoch", 0);
    std::set<int64_t> seen;
    for (int64_t i = 0; i < size; ++i) seen.insert(p(i));
    EXPECT_EQ(static_cast<int64_t>(seen.size()), size);
    EXPECT_EQ(*seen.rbegin(), size - 1);
  }
  const Permutation a(1000, 1, "epoch", 0), b(1000, 1, "epoch", 1), c(1000, 2, "epoch", 0);
  int same_b = 0, same_c = 0, fixed_points = 0;
  double spread = 0;  // mean distance between images of neighbours: a third of the size
  for (int64_t i = 0; i < 1000; ++i) {
    same_b += a(i) == b(i) ? 1 : 0;
    same_c += a(i) == c(i) ? 1 : 0;
    fixed_points += a(i) == i ? 1 : 0;
    if (i > 0) spread += static_cast<double>(std::abs(a(i) - a(i - 1))) / 999;
  }
  EXPECT_LT(same_b, 10);
  EXPECT_LT(same_c, 10);
  EXPECT_LT(fixed_points, 10);
  EXPECT_NEAR(spread, 1000.0 / 3, 30);
  const Permutation large(int64_t{1} << 40, 1);
  EXPECT_NE(large(0), large(1));
}

// 40 books of a few hundred letters each, and one that is longer than a batch.
void write_books(const fs::path& folder) {
  fs::create_directories(folder);
  for (int i = 0; i < 40; ++i) {
    std::string text;
    for (int j = 0; j < 20 + i; ++j) text += cat("Book", i, ".line", j, ".");
    write_text(folder / cat("book-", i + 10, ".txt"), text);
  }
  std::string large;
  for (int j = 0; large.size() < (3u << 20); ++j) large += cat("long", j % 977, "\n");
  write_text(folder / "large.txt", replace_all(large, "\n", "."));
}

PrepareOptions options_for(const fs::path& books, int64_t shard_tokens = 50000) {
  PrepareOptions options;
  options.sources = {books.string()};
  options.shard_tokens = shard_tokens;
  return options;
}

TEST(Prepared, ShardsHoldTheDocumentsInOrderHoweverManyThreads) {
  const TemporaryFolder folder;
  write_books(folder / "books");
  const auto tokenizer = testing::letter_tokenizer();
  PrepareOptions options = options_for(folder / "books");
  options.jobs = 1;
  const Json one = prepare_corpus(options, *tokenizer, folder / "one");
  options.jobs = 5;
  EXPECT_EQ(prepare_corpus(options, *tokenizer, folder / "five"), one);
  EXPECT_EQ(one["documents"], 41);
  EXPECT_EQ(one["separator"], "eos");
  EXPECT_GT(one["shards"].size(), 2u);
  const PreparedCorpus corpus(folder / "one", *tokenizer);
  TokenIds expected;
  for (const auto& text : texts({folder / "books"})) {
    for (const int64_t id : tokenizer->encode(text)) expected.push_back(id);
    expected.push_back(tokenizer->eos_id);
  }
  EXPECT_TRUE(corpus.read(0, corpus.tokens()) == expected);
  const int64_t border = one["shards"][0]["tokens"];
  EXPECT_TRUE(corpus.read(border - 3, 7) == TokenIds(expected.begin() + border - 3, expected.begin() + border + 4));
}

TEST(Prepared, ResumesWhereItStopped) {
  const TemporaryFolder folder;
  write_books(folder / "books");
  const auto tokenizer = testing::letter_tokenizer();
  const PrepareOptions options = options_for(folder / "books");
  Json manifest = prepare_corpus(options, *tokenizer, folder / "whole");
  // The folder's state after the first shard.
  fs::copy(folder / "whole", folder / "stopped", fs::copy_options::recursive);
  const Json first = manifest["shards"][0];
  for (size_t i = 1; i < manifest["shards"].size(); ++i)
    fs::remove(folder / "stopped" / manifest["shards"][i]["file"].get<std::string>());
  Json early = manifest;
  early["shards"] = Json::array({first});
  early["tokens"] = first["tokens"];
  early["documents"] = first["documents"];
  early["batches"] = 1;
  early["complete"] = false;
  write_json(folder / "stopped" / "manifest.json", early);
  EXPECT_CONTAINS(error_of([&] { PreparedCorpus(folder / "stopped", *tokenizer); }), "not finished");
  EXPECT_EQ(prepare_corpus(options, *tokenizer, folder / "stopped"), manifest);
  for (const Json& shard : manifest["shards"]) {
    const std::string file = shard["file"];
    EXPECT_TRUE(read_file(folder / "whole" / file) == read_file(folder / "stopped" / file)) << file;
  }
}

TEST(Prepared, AnotherCorpusInTheFolderIsRefused) {
  const TemporaryFolder folder;
  write_books(folder / "books");
  const auto tokenizer = testing::letter_tokenizer();
  prepare_corpus(options_for(folder / "books"), *tokenizer, folder / "out");
  EXPECT_CONTAINS(error_of([&] { prepare_corpus(options_for(folder / "books", 60000), *tokenizer, folder / "out"); }),
                  "shard_tokens");
  write_text(folder / "books" / "book-10.txt", "changed");
  EXPECT_CONTAINS(error_of([&] { prepare_corpus(options_for(folder / "books"), *tokenizer, folder / "out"); }),
                  "sources");
}

TEST(Prepared, CorruptAndMissingShardsAreNoticed) {
  const TemporaryFolder folder;
  write_books(folder / "books");
  const auto tokenizer = testing::letter_tokenizer();
  prepare_corpus(options_for(folder / "books"), *tokenizer, folder / "out");
  const fs::path shard = folder / "out" / "shard-00001.safetensors";
  std::string bytes = read_file(shard);
  bytes[bytes.size() / 2] ^= 1;
  write_text(shard, bytes);
  const PreparedCorpus corpus(folder / "out", *tokenizer);
  corpus.read(0, 10);  // the first shard is intact
  EXPECT_CONTAINS(error_of([&] { corpus.read(corpus.tokens() / 2, 10); }), "shard-00001");
  write_text(shard, bytes.substr(0, bytes.size() - 4));
  EXPECT_CONTAINS(error_of([&] { PreparedCorpus(folder / "out", *tokenizer); }), "wrong size");
  fs::remove(shard);
  EXPECT_CONTAINS(error_of([&] { PreparedCorpus(folder / "out", *tokenizer); }), "missing");
}

TEST(Windows, CoverTheStreamOncePerEpochAndContinueWhereTheContextEnds) {
  const TemporaryFolder folder;
  write_books(folder / "books");
  const auto tokenizer = testing::letter_tokenizer();
  prepare_corpus(options_for(folder / "books"), *tokenizer, folder / "out");
  const PreparedCorpus corpus(folder / "out", *tokenizer);
  DataConfig data;
  data.max_context_tokens = 100;
  data.continuation_tokens = 28;
  const CorpusWindows windows({folder / "out"}, *tokenizer, data, false);
  EXPECT_EQ(windows.size(), corpus.tokens() / 128);
  std::set<int64_t> seen;
  const int64_t steps = windows.size() / 8;
  for (int64_t step = 0; step < steps; ++step) {
    for (const int64_t m : windows.members(3, step, 8)) seen.insert(m);
  }
  EXPECT_EQ(static_cast<int64_t>(seen.size()), steps * 8);  // every window once
  const auto members = windows.members(3, 5, 4);
  const auto lm = windows.batch(3, 5, 4, Task::lm), ae = windows.batch(3, 5, 4, Task::ae);
  for (int64_t b = 0; b < 4; ++b) {
    const TokenIds window = corpus.read(members[static_cast<size_t>(b)] * 128, 128);
    for (int64_t t = 0; t < 100; ++t) EXPECT_EQ(lm.context.ids[b][t].item<int64_t>(), window[static_cast<size_t>(t)]);
    for (int64_t t = 0; t < 28; ++t)
      EXPECT_EQ(lm.task.labels[b][t].item<int64_t>(), window[static_cast<size_t>(100 + t)]);
    EXPECT_EQ(ae.task.ids[b][0].item<int64_t>(), window[0]);
    EXPECT_EQ(ae.task.ids[b][100].item<int64_t>(), tokenizer->eos_id);
  }
  EXPECT_CONTAINS(error_of([&] { windows.require(Task::qa); }), "no questions");
  // Sampled lengths: one per batch; the context still ends where the continuation begins.
  data.min_context_tokens = 20;
  const CorpusWindows drawn({folder / "out"}, *tokenizer, data, true);
  std::set<int64_t> lengths;
  for (int64_t step = 0; step < 30; ++step) {
    const auto batch = drawn.batch(3, step, 2, Task::lm);
    const int64_t length = batch.context.lengths[0].item<int64_t>();
    EXPECT_EQ(length, batch.context.lengths[1].item<int64_t>());
    EXPECT_TRUE(length >= 20 && length <= 100);
    EXPECT_EQ(batch.context.ids[0][0].item<int64_t>(), tokenizer->bos_id);
    const TokenIds window = corpus.read(drawn.members(3, step, 2)[0] * 128, 128);
    EXPECT_EQ(batch.context.ids[0][length - 1].item<int64_t>(), window[99]);
    // BOS is compressed, but reconstruction does not have to produce it.
    const auto reconstruction = drawn.batch(3, step, 2, Task::ae);
    EXPECT_EQ(reconstruction.task.lengths[0].item<int64_t>(), length);  // the text without BOS, and EOS
    EXPECT_EQ(reconstruction.task.labels[0][0].item<int64_t>(), window[static_cast<size_t>(101 - length)]);
    lengths.insert(length);
  }
  EXPECT_GT(lengths.size(), 10u);
  data.max_context_tokens = 100000000;
  EXPECT_CONTAINS(error_of([&] { CorpusWindows({folder / "out"}, *tokenizer, data, false); }),
                  "shorter than one window");
}

}  // namespace
}  // namespace precis
