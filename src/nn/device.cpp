#include "precis/nn/device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/version.h>

#include <filesystem>
#include <fstream>

#include "precis/core/strings.h"

#if TORCH_VERSION_MAJOR > 2 || (TORCH_VERSION_MAJOR == 2 && TORCH_VERSION_MINOR >= 9)
#define PRECIS_DEVICE_STATISTICS
#include <c10/core/CachingDeviceAllocator.h>
#endif

namespace precis {
namespace {

[[maybe_unused]] c10::DeviceIndex index_of(at::Device device) { return device.has_index() ? device.index() : 0; }

// The value of the first line `key : value` of a file under /proc.
std::string first_value(const std::string& file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    if (line.starts_with(key)) return trim(line.substr(line.find(':') + 1));
  }
  return "unknown";
}

}  // namespace

std::string device_name(at::Device device) {
  if (device.is_cpu()) return first_value("/proc/cpuinfo", "model name");
  std::error_code none;
  for (const auto& gpu : std::filesystem::directory_iterator("/proc/driver/nvidia/gpus", none))
    return first_value((gpu.path() / "information").string(), "Model");
  return "unknown GPU";
}

void wait_for(at::Device device) {
  if (device.is_cuda()) torch::cuda::synchronize(device.index());
}

int64_t peak_device_bytes([[maybe_unused]] at::Device device) {
#ifdef PRECIS_DEVICE_STATISTICS
  if (!device.is_cpu()) {
    const auto statistics = c10::getDeviceAllocator(device.type())->getDeviceStats(index_of(device));
    return statistics.allocated_bytes[static_cast<size_t>(c10::CachingAllocator::StatType::AGGREGATE)].peak;
  }
#endif
  return 0;
}

void reset_peak_device_bytes([[maybe_unused]] at::Device device) {
#ifdef PRECIS_DEVICE_STATISTICS
  if (!device.is_cpu()) c10::getDeviceAllocator(device.type())->resetPeakStats(index_of(device));
#endif
}

at::Generator seeded_generator(at::Device device, uint64_t seed) {
  if (device.is_cpu()) return at::detail::createCPUGenerator(seed);
  at::Generator generator =
      at::globalContext().getAcceleratorHooksInterface(device.type()).getNewGenerator(index_of(device));
  generator.set_current_seed(seed);
  return generator;
}

}  // namespace precis
