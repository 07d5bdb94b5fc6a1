// The processes of one training run on c10d: Gloo for numbers and text in CPU memory, NCCL beside it for tensors on
// GPUs, where LibTorch has it and every process has a GPU of its own; else those go through CPU memory too. Launched by
// `torchrun --no-python precis-train ...`, or by hand with RANK, WORLD_SIZE, MASTER_ADDR and MASTER_PORT set. If a
// process ends, the others stop with one clear error within the time-out.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

namespace precis {

using at::Tensor;

class ProcessGroup {
 public:
  ProcessGroup();  // a single process: every operation is the identity
  ~ProcessGroup();
  ProcessGroup(ProcessGroup&&) noexcept;

  // The group described by the environment; a single process if WORLD_SIZE is unset or 1. Waits for all processes.
  // With device "cuda" this process uses the GPU of its LOCAL_RANK from now on, see gpu_of_process.
  static ProcessGroup from_environment(const std::string& device, double timeout_seconds);

  int64_t rank() const { return rank_; }
  int64_t size() const { return size_; }
  bool leads() const { return rank_ == 0; }  // the leader writes files and shows progress

  std::vector<double> sum(std::vector<double> values) const;
  void sum_in_place(const std::vector<Tensor>& tensors) const;  // in buckets
  void copy_from_first(const std::vector<Tensor>& tensors) const;
  std::string copy_from_first(const std::string& text) const;

 private:
  struct Backend;
  std::unique_ptr<Backend> backend_;
  int64_t rank_ = 0, size_ = 1;
};

// What this build has for groups of more than one process.
struct ProcessBackends {
  bool gloo = false, nccl = false;
};
ProcessBackends process_backends();

// The index of a process's GPU: that of its rank on this machine; the only one if there is but one, which all share.
// Throws Error if there is none, or fewer than processes.
int64_t gpu_of_process(int64_t local_rank, int64_t gpus);

}  // namespace precis
