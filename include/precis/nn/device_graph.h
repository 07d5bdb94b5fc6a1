// Repeated GPU work as a graph, captured once: launching its kernels one by one would take longer than running them.
// Needs a LibTorch with CUDA, and CUDA's headers when precis is built.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>

namespace precis {

class DeviceGraph {
 public:
  static bool is_available(at::Device device);

  // Until the destructor, this thread's work goes to a separate stream.
  explicit DeviceGraph(at::Device device);
  ~DeviceGraph();
  DeviceGraph(const DeviceGraph&) = delete;
  DeviceGraph& operator=(const DeviceGraph&) = delete;

  // The first call runs `work`, the second captures and runs it, later calls replay the capture: the same kernels on
  // the same tensors. Write changing inputs into those tensors. Tensors allocated during capture keep their addresses;
  // replay overwrites them.
  void run(const std::function<void()>& work);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace precis
