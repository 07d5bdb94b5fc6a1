#include "precis/train/process_group.h"

#include <torch/types.h>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#ifdef USE_C10D_GLOO
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#endif
#ifdef USE_C10D_NCCL
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>
#endif

#include <chrono>
#include <csignal>
#include <cstdlib>
#include <future>
#include <stdexcept>
#include <thread>

#include "precis/core/error.h"
#include "precis/core/strings.h"

namespace precis {
namespace {

constexpr int64_t bucket_bytes = int64_t{25} << 20;

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

int64_t number_in_environment(const char* name, int64_t low, int64_t high) {
  const std::string text = environment(name);
  int64_t value = low - 1;
  try {
    size_t end = 0;
    value = std::stoll(text, &end);
    if (end != text.size()) value = low - 1;
  } catch (const std::exception&) {
  }
  if (value < low || value > high) {
    throw Error(
        {.what = "an environment variable of the process group is missing or invalid",
         .where = name,
         .expected = cat("a whole number from ", low, " to ", high),
         .found = text.empty() ? "nothing" : excerpt(text),
         .hint =
             "start the processes with torchrun --no-python, or set RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT"});
  }
  return value;
}

// The result of f, or an exception after `limit`: TCPStore waits without end for another program that answers at its
// port. The abandoned thread ends with the process.
template <class F>
auto within(std::chrono::milliseconds limit, F f) {
  std::packaged_task<decltype(f())()> task(std::move(f));
  auto result = task.get_future();
  std::thread(std::move(task)).detach();
  if (result.wait_for(limit) != std::future_status::ready)
    throw std::runtime_error(cat("no answer in ", limit.count() / 1000, " s"));
  return result.get();
}

}  // namespace

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> group;
  std::string name;

  // Runs a collective; any failure means that another process has ended.
  template <class F>
  void run(F start) const {
    try {
      for (const auto& work : start()) work->wait();
    } catch (const std::exception& e) {
      throw Error({.what = "another process of the group has ended or timed out",
                   .where = name,
                   .found = excerpt(e.what(), 200),
                   .hint = "see that process's output; restart all processes to resume from the last checkpoint"},
                  Error::Kind::resources);
    }
  }
};

ProcessGroup::ProcessGroup() = default;
ProcessGroup::~ProcessGroup() = default;
ProcessGroup::ProcessGroup(ProcessGroup&&) noexcept = default;

ProcessGroup ProcessGroup::from_environment(const std::string& device, double timeout_seconds) {
  ProcessGroup out;
  if (environment("WORLD_SIZE").empty()) return out;
  out.size_ = number_in_environment("WORLD_SIZE", 1, 1 << 20);
  if (out.size_ == 1) return out;
  out.rank_ = number_in_environment("RANK", 0, out.size_ - 1);
  std::signal(SIGPIPE, SIG_IGN);  // report a dead peer as an error instead of dying from the signal
  const std::string address = environment("MASTER_ADDR");
  if (address.empty())
    throw Error({.what = "an environment variable of the process group is missing",
                 .where = "MASTER_ADDR",
                 .expected = "a host"});
  const auto timeout = std::chrono::milliseconds(static_cast<int64_t>(timeout_seconds * 1000));
  c10d::TCPStoreOptions options;
  options.port = static_cast<uint16_t>(number_in_environment("MASTER_PORT", 1, 65535));
  // torchrun may host the store itself.
  const bool agent = environment("TORCHELASTIC_USE_AGENT_STORE") == "True";
  options.isServer = out.rank_ == 0 && !agent;
  options.numWorkers = static_cast<size_t>(out.size_);
  options.waitWorkers = !agent;
  options.timeout = timeout;
  out.backend_ = std::make_unique<Backend>();
  out.backend_->name = cat("process ", out.rank_, " of ", out.size_);
  try {
    out.backend_->store = c10::make_intrusive<c10d::PrefixStore>(
        cat("precis/attempt-", environment("TORCHELASTIC_RESTART_COUNT")),
        within(timeout + std::chrono::seconds(1),
               [address, options] { return c10::make_intrusive<c10d::TCPStore>(address, options); }));
    const int rank = static_cast<int>(out.rank_), size = static_cast<int>(out.size_);
    if (device == "cuda") {
#ifdef USE_C10D_NCCL
      const auto nccl = c10d::ProcessGroupNCCL::Options::create();
      nccl->timeout = timeout;
      out.backend_->group = c10::make_intrusive<c10d::ProcessGroupNCCL>(out.backend_->store, rank, size, nccl);
#endif
    } else {
#ifdef USE_C10D_GLOO
      const auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
      const std::string interface = environment("GLOO_SOCKET_IFNAME");
      const bool here = address == "localhost" || address == "127.0.0.1";
      gloo->devices.push_back(!interface.empty() ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                              : here             ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                                 : c10d::ProcessGroupGloo::createDefaultDevice());
      out.backend_->group = c10::make_intrusive<c10d::ProcessGroupGloo>(out.backend_->store, rank, size, gloo);
#endif
    }
  } catch (const std::exception& e) {
    throw Error({.what = "cannot connect the process group",
                 .where = cat(out.backend_->name, " at ", address, ":", options.port),
                 .found = excerpt(e.what(), 200),
                 .hint = "start all processes with the same WORLD_SIZE, MASTER_ADDR and MASTER_PORT"},
                Error::Kind::resources);
  }
  if (!out.backend_->group) {
    throw Error({.what = "this build does not support process groups on the device",
                 .where = "model.device",
                 .found = device,
                 .hint = "build with libgloo-dev (cpu) or a LibTorch with NCCL (cuda)"});
  }
  return out;
}

void ProcessGroup::sum_in_place(const std::vector<Tensor>& tensors) const {
  if (!backend_) return;
  const at::NoGradGuard no_gradient;
  std::vector<std::vector<Tensor>> buckets;
  int64_t filled = bucket_bytes;
  for (const auto& tensor : tensors) {
    if (filled + static_cast<int64_t>(tensor.nbytes()) > bucket_bytes) {
      buckets.emplace_back();
      filled = 0;
    }
    buckets.back().push_back(tensor);
    filled += static_cast<int64_t>(tensor.nbytes());
  }
  std::vector<Tensor> flat;
  backend_->run([&] {
    std::vector<c10::intrusive_ptr<c10d::Work>> works;
    for (const auto& bucket : buckets) {
      std::vector<Tensor> parts;
      for (const auto& tensor : bucket) parts.push_back(tensor.flatten());
      flat.push_back(torch::cat(parts));
      std::vector<Tensor> one = {flat.back()};
      works.push_back(backend_->group->allreduce(one));
    }
    return works;
  });
  for (size_t i = 0; i < buckets.size(); ++i) {
    int64_t offset = 0;
    for (const auto& tensor : buckets[i]) {
      Tensor(tensor).copy_(flat[i].narrow(0, offset, tensor.numel()).view(tensor.sizes()));
      offset += tensor.numel();
    }
  }
}

std::vector<double> ProcessGroup::sum(std::vector<double> values) const {
  if (!backend_) return values;
  std::vector<Tensor> one = {torch::tensor(values, torch::kDouble)};
  backend_->run([&] { return std::vector<c10::intrusive_ptr<c10d::Work>>{backend_->group->allreduce(one)}; });
  return {one[0].data_ptr<double>(), one[0].data_ptr<double>() + values.size()};
}

void ProcessGroup::copy_from_first(const std::vector<Tensor>& tensors) const {
  if (!backend_) return;
  const at::NoGradGuard no_gradient;
  for (const auto& tensor : tensors) {
    std::vector<Tensor> one = {tensor.detach().contiguous()};
    backend_->run([&] { return std::vector<c10::intrusive_ptr<c10d::Work>>{backend_->group->broadcast(one)}; });
    Tensor(tensor).copy_(one[0]);
  }
}

std::string ProcessGroup::copy_from_first(const std::string& text) const {
  if (!backend_) return text;
  const Tensor length = torch::tensor({static_cast<int64_t>(text.size())}, torch::kLong);
  copy_from_first(std::vector<Tensor>{length});
  Tensor bytes = torch::zeros({length.item<int64_t>()}, torch::kByte);
  if (leads()) std::copy(text.begin(), text.end(), bytes.data_ptr<uint8_t>());
  copy_from_first(std::vector<Tensor>{bytes});
  return {reinterpret_cast<const char*>(bytes.data_ptr<uint8_t>()), static_cast<size_t>(bytes.numel())};
}

}  // namespace precis
