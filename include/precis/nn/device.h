// A device as measurements see it: a GPU's kernels run behind the program's back, and its memory is its own.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace precis {

// What the machine calls it, for reports.
std::string device_name(at::Device device);

// Until everything asked of the device is done; nothing to wait for on a CPU.
void wait_for(at::Device device);

// The most bytes that tensors on this GPU took since the last reset; 0 on a CPU, and with a LibTorch before 2.9.
int64_t peak_device_bytes(at::Device device);
void reset_peak_device_bytes(at::Device device);

// Random numbers of this device that depend on the seed alone.
at::Generator seeded_generator(at::Device device, uint64_t seed);

}  // namespace precis
