// Real processes over Gloo: two give the result of one, a checkpoint resumes with any number, a dead process ends all.
#include <ATen/Parallel.h>
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <torch/cuda.h>
#include <torch/types.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "precis/core/file.h"
#include "precis/core/interrupt.h"
#include "precis/core/random.h"
#include "precis/core/strings.h"
#include "precis/data/synth.h"
#include "precis/eval/train_run.h"
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
  install_interrupt_handlers();
  try {
    const ProcessGroup group = ProcessGroup::from_environment(config.model.device, config.run.process_timeout);
    if (config.data.eval.empty()) {
      testing::run_training(config, 1, group, config.model.device);
    } else {
      train_run(config, CompressorRegistry::built_in(), testing::tiny_decoder("cpu", 1024),
                *testing::letter_tokenizer(), group);
    }
  } catch (const Error& e) {
    std::fprintf(stderr, "%s\n", e.what());
    std::_Exit(e.exit_code());
  }
}

// A listening socket at a port that the system chose; free again when it is closed.
class Port {
 public:
  Port() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(socket_, reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::getsockname(socket_, reinterpret_cast<sockaddr*>(&address), &size), 0);
    EXPECT_EQ(::listen(socket_, 1), 0);
    number_ = ntohs(address.sin_port);
  }
  ~Port() { ::close(socket_); }
  Port(const Port&) = delete;
  Port& operator=(const Port&) = delete;
  int number() const { return number_; }

 private:
  int socket_, number_ = 0;
};

int free_port() { return Port().number(); }

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
  void interrupt_all() {
    for (const pid_t child : children_) kill(child, SIGTERM);
  }
  bool is_running(size_t rank) const {
    siginfo_t info{};
    return waitid(P_PID, static_cast<id_t>(children_[rank]), &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
  }

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

TEST(Processes, TwoOnOneGpuEqualOne) {
  if (!torch::cuda::is_available()) GTEST_SKIP() << "skipped: no GPU here";
  const testing::TemporaryFolder folder;
  auto there = settings;
  there.push_back("model.device=cuda");
  testing::run_training(testing::training_config(folder / "one", there), 1, ProcessGroup(), "cuda");
  Processes processes(2, folder / "two", there);
  expect_done(processes);
  EXPECT_LT(difference(folder / "one", folder / "two"), 1e-4);
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

// The newest step with a checkpoint; 0: none.
int64_t saved_step(const fs::path& run) {
  int64_t newest = 0;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(run / "checkpoints", none)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("step-")) newest = std::max(newest, static_cast<int64_t>(std::stoll(name.substr(5))));
  }
  return newest;
}

// Waits until a run has a checkpoint of `step`, or its first process has ended.
void wait_for_step(const Processes& processes, const fs::path& run, int64_t step) {
  while (processes.is_running(0) && saved_step(run) < step) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

std::vector<std::string> losses(const fs::path& run) {
  std::vector<std::string> out;
  for (const auto& line : split(read_file(run / "metrics.jsonl"), '\n')) {
    if (line.empty()) continue;
    const Json json = parse_json(line, "metrics");
    if (json.at("event") == "step") out.push_back(json.at("step").dump() + json.at("loss").dump());
  }
  return out;
}

// A run killed repeatedly, also while saving (it saves after every step), gives an uninterrupted run's result bit for
// bit. Kills come at a random part of a step, after some steps, however long these take.
TEST(Processes, KilledAtAnyMomentNothingIsLost) {
  const testing::TemporaryFolder folder;
  const std::vector<std::string> saving = {"train.steps=100", "train.batch=2", "train.schedule=constant",
                                           "train.save_interval=1", "compressor.lora.dropout=0.1"};
  Processes unbroken(1, folder / "whole", saving);
  wait_for_step(unbroken, folder / "whole", 20);
  const auto start = std::chrono::steady_clock::now();
  wait_for_step(unbroken, folder / "whole", 60);
  const double step = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count() / 40;
  expect_done(unbroken);
  Random random(1, "kills");
  const fs::path dir = folder / "killed";
  int kills = 0;
  for (; kills < 20; ++kills) {
    const int64_t before = saved_step(dir);
    ASSERT_LT(before, 95);
    Processes process(1, dir, saving);
    wait_for_step(process, dir, before + random.between(0, 3));  // 0: while it starts
    std::this_thread::sleep_for(std::chrono::duration<double>(2 * step * random.uniform()));
    process.kill_one(0);
    ASSERT_EQ(process.wait()[0], 128 + SIGKILL) << process.log(0);
  }
  Processes last(1, dir, saving);
  expect_done(last);
  for (const char* file : {"compressor.safetensors", "optimizer.safetensors"}) {
    EXPECT_TRUE(read_file(folder / "whole" / "checkpoints" / "step-000100" / file) ==
                read_file(dir / "checkpoints" / "step-000100" / file))
        << file;
  }
  EXPECT_TRUE(losses(folder / "whole") == losses(dir));
}

TEST(Processes, KilledWhileTheGroupSavesNothingIsLost) {
  const testing::TemporaryFolder folder;
  auto saving = settings;
  saving.push_back("train.save_interval=1");
  testing::run_training(testing::training_config(folder / "one", saving));
  const fs::path dir = folder / "killed";
  Random random(2, "kills");
  for (const size_t rank : {0u, 1u, 0u}) {
    const int64_t before = saved_step(dir);
    Processes processes(2, dir, saving);
    wait_for_step(processes, dir, before + 2);
    std::this_thread::sleep_for(std::chrono::microseconds(random.between(0, 20000)));
    processes.kill_one(rank);
    const auto codes = processes.wait();
    EXPECT_EQ(codes[rank], 128 + SIGKILL);
    EXPECT_EQ(codes[1 - rank], 3) << processes.log(1 - rank);
  }
  Processes last(2, dir, saving);
  expect_done(last);
  EXPECT_LT(difference(folder / "one", dir), 1e-5);
}

TEST(Processes, ASignalToTheGroupSavesAndTheRunResumes) {
  const testing::TemporaryFolder folder;
  testing::run_training(testing::training_config(folder / "one", settings));
  auto saving = settings;
  saving.push_back("train.save_interval=5");
  Processes processes(2, folder / "run", saving);
  wait_for_step(processes, folder / "run", 5);
  processes.interrupt_all();
  EXPECT_EQ(processes.wait(), (std::vector<int>{130, 130})) << processes.log(0) << processes.log(1);
  EXPECT_CONTAINS(processes.log(0), "interrupted; saved at step");
  Processes resumed(2, folder / "run", saving);
  expect_done(resumed);
  EXPECT_LT(difference(folder / "one", folder / "run"), 1e-5);
}

TEST(Processes, EvaluationsDuringTrainingAreThoseOfOne) {
  const testing::TemporaryFolder folder;
  for (const char* split : {"train", "eval"})
    write_file_atomically(folder / (std::string(split) + ".jsonl"),
                          [&](std::ostream& out) { write_synth(out, {.count = 5, .seed = 1, .split = split}); });
  auto evaluating = settings;
  evaluating.insert(evaluating.end(),
                    {"data.train=" + (folder / "train.jsonl").string(), "data.eval=" + (folder / "eval.jsonl").string(),
                     "train.eval_interval=10", "train.eval_tasks=continuation,qa", "data.continuation_tokens=8",
                     "eval.max_new_tokens=4"});
  std::vector<Json> scores;
  for (const int size : {1, 2, 3}) {
    const fs::path dir = folder / cat("of-", size);
    Processes processes(size, dir, evaluating);
    expect_done(processes);
    Json points = Json::array();
    for (const auto& line : split(read_file(dir / "metrics.jsonl"), '\n')) {
      const Json json = Json::parse(line, nullptr, false);
      if (json.is_object() && json.at("event") == "eval") points.push_back(json);
    }
    ASSERT_EQ(points.size(), 2u);
    scores.push_back(points);
  }
  for (size_t size = 1; size < scores.size(); ++size) {
    for (size_t i = 0; i < 2; ++i) {
      EXPECT_EQ(scores[size][i].at("questions"), scores[0][i].at("questions"));
      const auto of = [&](size_t processes, const char* measure) {
        return scores[processes][i].at(measure).get<double>();
      };
      EXPECT_NEAR(of(size, "perplexity") / of(0, "perplexity"), 1, 1e-5);
      for (const char* measure : {"em_percent", "f1_percent"}) EXPECT_NEAR(of(size, measure), of(0, measure), 1e-9);
    }
  }
}

TEST(Processes, EachHasTheGpuOfItsRankOnItsMachine) {
  EXPECT_EQ(gpu_of_process(3, 8), 3);
  EXPECT_EQ(gpu_of_process(3, 1), 0);  // all share the only one
  EXPECT_CONTAINS(testing::error_of([] { gpu_of_process(4, 4); }), "more processes than GPUs");
  EXPECT_CONTAINS(testing::error_of([] { gpu_of_process(0, 0); }), "no GPU found");
}

TEST(Processes, AnotherProgramAtThePortIsAnErrorWithinTheTimeout) {
  const Port other;  // listens and never answers
  setenv("WORLD_SIZE", "2", 1);
  setenv("RANK", "1", 1);
  setenv("MASTER_ADDR", "127.0.0.1", 1);
  setenv("MASTER_PORT", cat(other.number()).c_str(), 1);
  const auto start = std::chrono::steady_clock::now();
  const std::string message = testing::error_of([] { ProcessGroup::from_environment("cpu", 2); });
  EXPECT_CONTAINS(message, "cannot connect the process group");
  EXPECT_LT(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count(), 20);
  for (const char* name : {"WORLD_SIZE", "RANK", "MASTER_ADDR", "MASTER_PORT"}) unsetenv(name);
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
