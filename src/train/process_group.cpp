#include "precis/train/process_group.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/cuda.h>
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
#include "precis/core/log.h"
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

ProcessBackends process_backends() {
  ProcessBackends built;
#ifdef USE_C10D_GLOO
  built.gloo = true;
#endif
#ifdef USE_C10D_NCCL
  built.nccl = true;
#endif
  return built;
}

int64_t gpu_of_process(int64_t local_rank, int64_t gpus) {
  if (gpus == 0) throw Error({.what = "no GPU found", .where = "model.device", .hint = "set model.device=cpu"});
  if (gpus == 1) return 0;
  if (local_rank >= gpus) {
    throw Error({.what = "more processes than GPUs on this machine",
                 .where = "LOCAL_RANK",
                 .expected = cat("at most ", gpus - 1),
                 .found = cat(local_rank),
                 .hint = "torchrun --nproc-per-node must not exceed the number of GPUs"});
  }
  return local_rank;
}

struct ProcessGroup::Backend {
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> cpu, gpu;  // gpu: null without NCCL
  std::string name;

  // The backend for tensors of this device; nullptr: by way of CPU memory.
  c10d::Backend* of(const Tensor& tensor) const {
    return tensor.device().is_cpu() ? cpu.get() : tensor.device().is_cuda() ? gpu.get() : nullptr;
  }

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
  bool own_gpu = false;  // not shared with another process
  if (device == "cuda") {
    const auto gpus = static_cast<int64_t>(torch::cuda::device_count());
    const int64_t local =
        environment("LOCAL_RANK").empty() ? out.rank_ : number_in_environment("LOCAL_RANK", 0, out.size_ - 1);
    const int64_t gpu = gpu_of_process(local, gpus);
    own_gpu = gpus > 1;
    c10::impl::VirtualGuardImpl(c10::DeviceType::CUDA)
        .setDevice({c10::DeviceType::CUDA, static_cast<c10::DeviceIndex>(gpu)});
  }
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
#ifdef USE_C10D_GLOO
    const auto gloo = c10d::ProcessGroupGloo::Options::create(timeout);
    const std::string interface = environment("GLOO_SOCKET_IFNAME");
    const bool here = address == "localhost" || address == "127.0.0.1";
    gloo->devices.push_back(!interface.empty() ? c10d::ProcessGroupGloo::createDeviceForInterface(interface)
                            : here             ? c10d::ProcessGroupGloo::createDeviceForHostname("127.0.0.1")
                                               : c10d::ProcessGroupGloo::createDefaultDevice());
    out.backend_->cpu = c10::make_intrusive<c10d::ProcessGroupGloo>(
        c10::make_intrusive<c10d::PrefixStore>("cpu", out.backend_->store), rank, size, gloo);
#endif
#ifdef USE_C10D_NCCL
    if (own_gpu) {
      const auto nccl = c10d::ProcessGroupNCCL::Options::create();
      nccl->timeout = timeout;
      out.backend_->gpu = c10::make_intrusive<c10d::ProcessGroupNCCL>(
          c10::make_intrusive<c10d::PrefixStore>("cuda", out.backend_->store), rank, size, nccl);
    }
#endif
  } catch (const std::exception& e) {
    throw Error({.what = "cannot connect the process group",
                 .where = cat(out.backend_->name, " at ", address, ":", options.port),
                 .found = excerpt(e.what(), 200),
                 .hint = "start all processes with the same WORLD_SIZE, MASTER_ADDR and MASTER_PORT"},
                Error::Kind::resources);
  }
  if (!out.backend_->cpu) {
    throw Error({.what = "this build has no process groups",
                 .where = "WORLD_SIZE",
                 .found = environment("WORLD_SIZE"),
                 .hint = "build with libgloo-dev"});
  }
  if (own_gpu && !out.backend_->gpu && out.leads())
    log::warn("this build has no NCCL: gradients are summed in CPU memory");
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
      c10d::Backend* own = backend_->of(flat.back());
      if (own == nullptr) flat.back() = flat.back().cpu();
      std::vector<Tensor> one = {flat.back()};
      works.push_back((own != nullptr ? own : backend_->cpu.get())->allreduce(one));
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
  backend_->run([&] { return std::vector<c10::intrusive_ptr<c10d::Work>>{backend_->cpu->allreduce(one)}; });
  return {one[0].data_ptr<double>(), one[0].data_ptr<double>() + values.size()};
}

void ProcessGroup::copy_from_first(const std::vector<Tensor>& tensors) const {
  if (!backend_) return;
  const at::NoGradGuard no_gradient;
  for (const auto& tensor : tensors) {
    c10d::Backend* own = backend_->of(tensor);
    std::vector<Tensor> one = {own != nullptr ? tensor.detach().contiguous() : tensor.detach().cpu()};
    if (own == nullptr) own = backend_->cpu.get();
    backend_->run([&] { return std::vector<c10::intrusive_ptr<c10d::Work>>{own->broadcast(one)}; });
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
