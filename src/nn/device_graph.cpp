#include "precis/nn/device_graph.h"

#ifdef PRECIS_CUDA_GRAPHS
#include <ATen/cuda/CUDAGeneratorImpl.h>
#include <ATen/cuda/CUDAGraph.h>
#include <c10/cuda/CUDACachingAllocator.h>
#include <c10/cuda/CUDAStream.h>
#endif

#include "precis/core/error.h"
#include "precis/core/log.h"
#include "precis/core/strings.h"
#include "precis/nn/device.h"

namespace precis {

#ifdef PRECIS_CUDA_GRAPHS

struct DeviceGraph::State {
  at::Device device;
  c10::cuda::CUDAStream before, own;
  at::cuda::CUDAGraph graph;
  int runs = 0;  // successful ones
};

namespace {

void record(at::cuda::CUDAGraph& graph, const std::function<void()>& work) {
  graph.capture_begin({0, 0}, cudaStreamCaptureModeThreadLocal);
  try {
    work();
  } catch (...) {
    // End the capture, since a capturing stream cannot be synchronised. Report the error of `work`, not the one of the
    // failed capture.
    try {
      graph.capture_end();
    } catch (const std::exception&) {
    }
    throw;
  }
  graph.capture_end();
}

}  // namespace

bool DeviceGraph::is_available(at::Device device) { return device.is_cuda(); }

DeviceGraph::DeviceGraph(at::Device device) {
  const c10::DeviceIndex index = device.has_index() ? device.index() : c10::DeviceIndex(0);
  wait_for(device);  // its inputs are written in another stream
  state_ = std::make_unique<State>(
      State{device, c10::cuda::getCurrentCUDAStream(index), c10::cuda::getStreamFromPool(false, index), {}, 0});
  c10::cuda::setCurrentCUDAStream(state_->own);
}

DeviceGraph::~DeviceGraph() {
  try {  // a GPU that has failed reports it here again
    c10::cuda::setCurrentCUDAStream(state_->before);
    state_->own.synchronize();
    if (state_->runs < 2) return;
    const auto pool = state_->graph.pool();
    state_->graph.reset();
    c10::cuda::CUDACachingAllocator::emptyCache(pool);  // releases the graph's memory
  } catch (const std::exception& e) {
    log::warn(cat("the GPU failed while a recorded graph was released: ", excerpt(e.what(), 200)));
  }
}

void DeviceGraph::run(const std::function<void()>& work) {
  if (state_->runs == 0) work();
  if (state_->runs == 1) record(state_->graph, work);
  if (state_->runs >= 1) state_->graph.replay();
  ++state_->runs;
}

#else

struct DeviceGraph::State {};

bool DeviceGraph::is_available(at::Device) { return false; }
DeviceGraph::DeviceGraph(at::Device) { check(false, "DeviceGraph: built without CUDA's headers"); }
DeviceGraph::~DeviceGraph() = default;
void DeviceGraph::run(const std::function<void()>&) {}

#endif

}  // namespace precis
