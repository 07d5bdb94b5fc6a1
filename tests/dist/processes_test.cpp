// Real processes over Gloo: two give the result of one, a checkpoint resumes with any number, a dead process ends all.
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <torch/types.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "precis/core/file.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/weights/safetensors.h"
#include "training.h"

namespace precis {
namespace {

namespace fs = std::filesystem;

constexpr const char* settings_variable = "PRECIS_TEST_SETTINGS";

// Not a test itself: the code that each process of the tests below runs.
TEST(ProcessWorker, DISABLED_Trains) {
  const char* settings = std::getenv(settings_variable);
  ASSERT_NE(settings, nullptr);
  const auto words = split(settings, '|');
  at::set_num_threads(1);
  const Config config = testing::training_config(words[0], {words.begin() + 1, words.end()});
  try {
    const ProcessGroup group = ProcessGroup::from_environment("cpu", config.run.process_timeout);
    testing::run_training(config, 1, group);
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::_Exit(e.exit_code());
  }
}

// A port that is probably free.
int free_port() {
  static int port = 20000 + static_cast<int>(getpid()) % 20000;
  return ++port;
}

class Processes {
 public:
  Processes(int size, const fs::path& dir, const std::vector<std::string>& overrides) {
    const int port = free_port();
    for (int rank = 0; rank < size; ++rank) {
      const std::string log = dir.string() + cat(".rank-", rank, ".log");
      logs_.push_back(log);
      const pid_t child = fork();
      if (child == 0) {
        setenv(settings_variable, (dir.string() + "|" + join(overrides, "|")).c_str(), 1);
        setenv("RANK", cat(rank).c_str(), 1);
        setenv("WORLD_SIZE", cat(size).c_str(), 1);
        setenv("MASTER_ADDR", "127.0.0.1", 1);
        setenv("MASTER_PORT", cat(port).c_str(), 1);
        if (freopen(log.c_str(), "w", stdout) == nullptr || dup2(fileno(stdout), 2) < 0) _exit(126);
        execl("/proc/self/exe", "precis_dist_tests", "--gtest_filter=ProcessWorker.*",
              "--gtest_also_run_disabled_tests", static_cast<char*>(nullptr));
        _exit(127);
      }
      children_.push_back(child);
    }
  }
  void kill_one(size_t rank) { kill(children_[rank], SIGKILL); }

  // Exit codes by rank; 128 + signal number for a process killed by a signal.
  std::vector<int> wait() {
    std::vector<int> codes;
    for (const pid_t child : children_) {
      int status = 0;
      waitpid(child, &status, 0);
      codes.push_back(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
    }
    return codes;
  }
  std::string log(size_t rank) const { return read_file(logs_[rank]); }

 private:
  std::vector<pid_t> children_;
  std::vector<std::string> logs_;
};

void expect_done(Processes& processes) {
  const auto codes = processes.wait();
  for (size_t rank = 0; rank < codes.size(); ++rank) EXPECT_EQ(codes[rank], 0) << processes.log(rank);
}

double difference(const fs::path& a, const fs::path& b) {
  const SafetensorsFile one(a / "compressor" / "compressor.safetensors"),
      other(b / "compressor" / "compressor.safetensors");
  double largest = 0;
  for (const auto& [name, entry] : one.entries()) {
    // ComprExIT's b_a has no effect (a softmax follows): its gradient is rounding noise, which Adam amplifies.
    if (name == "mass.proj.bias") continue;
    largest = testing::larger(largest, (one.tensor(name) - other.tensor(name)).abs().max().item<double>());
  }
  return largest;
}

// Some parameters never get a gradient under this objective, and a batch of five splits unevenly across processes.
const std::vector<std::string> settings = {
    "train.steps=20",          "train.batch=5",          "compressor.lora.dropout=0",
    "train.schedule=constant", "train.save_interval=10", "run.process_timeout=60"};

TEST(Processes, TwoAndThreeEqualOne) {
  const testing::TemporaryFolder folder;
  testing::run_training(testing::training_config(folder / "one", settings));
  for (const int size : {2, 3}) {
    const fs::path dir = folder / cat("of-", size);
    Processes processes(size, dir, settings);
    expect_done(processes);
    EXPECT_LT(difference(folder / "one", dir), 1e-5) << size << " processes";
  }
}

TEST(Processes, TwoEqualOneForOtherMethodsAndInStages) {
  const std::string stages =
      R"(train.stages=[{"steps":10,"objectives":{"lm":1,"ae":0.5}},{"steps":10,"objectives":{"qa":1,"distill":0.5}}])";
  const std::vector<std::vector<std::string>> cases = {
      {"compressor.method=sac", stages},
      {"compressor.method=icae", "compressor.carrier=embedding", "compressor.projector=mlp", stages},
      {"compressor.method=comprexit", "compressor.carrier=embedding", "compressor.projector=mlp",
       "compressor.lora.rank=0", "compressor.comprexit.window=32", "train.micro_batch=2"}};
  for (const auto& overrides : cases) {
    const testing::TemporaryFolder folder;
    auto all = settings;
    all.insert(all.end(), overrides.begin(), overrides.end());
    testing::run_training(testing::training_config(folder / "one", all));
    Processes processes(2, folder / "two", all);
    expect_done(processes);
    EXPECT_LT(difference(folder / "one", folder / "two"), 1e-5) << overrides.front();
  }
}

TEST(Processes, ACheckpointResumesWithAnyNumber) {
  const testing::TemporaryFolder folder;
  testing::run_training(testing::training_config(folder / "one", settings));
  auto half = settings;
  half[0] = "train.steps=10";
  Processes first(2, folder / "run", half);
  expect_done(first);
  for (const int size : {1, 3}) {
    const fs::path dir = folder / cat("on-", size);
    fs::copy(folder / "run", dir, fs::copy_options::recursive);
    Processes processes(size, dir, settings);
    expect_done(processes);
    EXPECT_CONTAINS(processes.log(0), "resuming from step 10");
    EXPECT_LT(difference(folder / "one", dir), 1e-5) << size << " processes";
  }
}

TEST(Processes, ADeadOneEndsTheOthersWithOneClearError) {
  const testing::TemporaryFolder folder;
  auto endless = settings;
  endless[0] = "train.steps=1000000";
  Processes processes(3, folder / "run", endless);
  for (int i = 0; i < 600 && !fs::exists(folder / "run" / "metrics.jsonl"); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const auto start = std::chrono::steady_clock::now();
  processes.kill_one(1);
  const auto codes = processes.wait();
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 90);
  EXPECT_EQ(codes[1], 128 + SIGKILL);
  for (const size_t rank : {0u, 2u}) {
    EXPECT_EQ(codes[rank], 3) << processes.log(rank);
    EXPECT_CONTAINS(processes.log(rank), "another process of the group has ended") << processes.log(rank);
  }
}

// A run killed repeatedly, also while saving (it saves after every step), gives an uninterrupted run's result bit for
// bit.
TEST(Processes, KilledAtAnyMomentNothingIsLost) {
  const testing::TemporaryFolder folder;
  const std::vector<std::string> saving = {"train.steps=700", "train.batch=2", "train.schedule=constant",
                                           "train.save_interval=1", "compressor.lora.dropout=0.1"};
  Processes unbroken(1, folder / "whole", saving);
  expect_done(unbroken);
  Random random(1, "kills");
  const fs::path dir = folder / "killed";
  int kills = 0;
  for (int attempt = 0; attempt < 200; ++attempt) {
    Processes process(1, dir, saving);
    if (kills < 20) {
      // Before or after the first new line of metrics.
      std::this_thread::sleep_for(std::chrono::milliseconds(random.between(100, 1200)));
      process.kill_one(0);
    }
    const int code = process.wait()[0];
    if (code == 0) break;
    ASSERT_EQ(code, 128 + SIGKILL) << process.log(0);
    ++kills;
  }
  EXPECT_GE(kills, 20);
  for (const char* file : {"compressor.safetensors", "optimizer.safetensors"}) {
    EXPECT_TRUE(read_file(folder / "whole" / "checkpoints" / "step-000700" / file) ==
                read_file(dir / "checkpoints" / "step-000700" / file))
        << file;
  }
  const auto losses = [](const fs::path& run) {
    std::vector<std::string> out;
    for (const auto& line : split(read_file(run / "metrics.jsonl"), '\n')) {
      if (!line.empty())
        out.push_back(parse_json(line, "metrics").at("step").dump() + parse_json(line, "metrics").at("loss").dump());
    }
    return out;
  };
  EXPECT_TRUE(losses(folder / "whole") == losses(dir));
}

TEST(Processes, AWrongEnvironmentIsNamed) {
  setenv("WORLD_SIZE", "2", 1);
  setenv("RANK", "7", 1);
  const std::string message = testing::error_of([] { ProcessGroup::from_environment("cpu", 1); });
  EXPECT_CONTAINS(message, "RANK") << message;
  unsetenv("WORLD_SIZE");
  unsetenv("RANK");
  EXPECT_EQ(ProcessGroup::from_environment("cpu", 1).size(), 1);
}

}  // namespace
}  // namespace precis
