// Device helpers for measurements: GPU work is asynchronous, and a GPU has its own memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace precis {

// The device's model name, for reports.
std::string device_name(at::Device device);

// Waits until all work on the device is complete; returns immediately for a CPU.
void wait_for(at::Device device);

// Peak bytes of tensors on this GPU since the last reset; 0 on a CPU and with LibTorch before 2.9.
int64_t peak_device_bytes(at::Device device);
void reset_peak_device_bytes(at::Device device);

// A generator for this device whose numbers depend on the seed alone.
at::Generator seeded_generator(at::Device device, uint64_t seed);

}  // namespace precis
