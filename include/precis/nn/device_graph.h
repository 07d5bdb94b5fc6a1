// Work that a GPU is given again and again, recorded once: launching its kernels one by one would take the processor
// longer than running them. Needs a LibTorch with CUDA and CUDA's headers when precis is built.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

namespace precis {

class DeviceGraph {
 public:
  static bool is_available(at::Device device);

  // From here to the destructor this thread's work goes to a stream of its own.
  explicit DeviceGraph(at::Device device);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  // The first call runs `work`, the second records it while it runs, later ones replay what was recorded: the same
  // kernels on the same tensors, so what changes from call to call has to be written into those tensors. What the
  // recorded call made keeps its place and is made anew there.
  void run(const std::function<void()>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace precis
