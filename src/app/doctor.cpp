#include <ATen/Parallel.h>
#include <sys/statvfs.h>
#include <torch/cuda.h>
#include <torch/types.h>
#include <torch/version.h>

#include <cstdio>
#include <fstream>
#include <thread>

#include "commands.h"
#include "precis/core/strings.h"
#include "precis/nn/device.h"
#include "precis/train/process_group.h"
#include "precis/train/run_folder.h"
#include "precis/train/throughput.h"

namespace precis {
namespace {

struct Finding {
  std::string key, found, means;  // `means`: what follows for the user; empty: nothing
  bool warns = false;
};

// The first value of a line "KEY ... : value" in a file such as /proc/cpuinfo; "" if there is none.
std::string value_in(const char* file, const std::string& key) {
  std::ifstream in(file);
  for (std::string line; std::getline(in, line);) {
    const size_t colon = line.find(':');
    if (line.starts_with(key) && colon != std::string::npos) return std::string(trim(line.substr(colon + 1)));
  }
  return "";
}

double gigabytes(double bytes) { return bytes / (1 << 30); }

// The container's limit on memory in bytes; 0: none.
double memory_limit() {
  std::ifstream in("/sys/fs/cgroup/memory.max");
  double bytes = 0;
  return in >> bytes ? bytes : 0;
}

Finding processor() {
  const std::string flags = " " + value_in("/proc/cpuinfo", "flags") + " ";
  std::vector<std::string> has;
  for (const char* flag : {"avx2", "avx512f", "avx512_bf16", "amx_bf16"}) {
    if (flags.find(cat(" ", flag, " ")) != std::string::npos) has.emplace_back(flag);
  }
  const bool wide = flags.find(" avx2 ") != std::string::npos;
  return {"processor", device_name(torch::kCPU) + (has.empty() ? "" : ", " + join(has, ", ")),
          wide ? "" : "without AVX2 everything is slow", !wide};
}

Finding precision() {
  const double fp32 = matrix_peak(torch::kFloat32, torch::kCPU), bf16 = matrix_peak(torch::kBFloat16, torch::kCPU);
  const bool automatic = resolve_dtype("auto", torch::kCPU) == torch::kBFloat16;
  return {"matrix products",
          cat("float32 ", fixed(fp32 / 1e9, 0), ", bfloat16 ", fixed(bf16 / 1e9, 0), " * 10^9 operations/s"),
          cat("model.dtype=auto is ", automatic ? "bfloat16" : "float32",
              automatic ? "" : "; model.decode_dtype=bfloat16 still halves what decoding reads")};
}

Finding threads() {
  const int used = at::get_num_threads(), cores = static_cast<int>(std::thread::hardware_concurrency());
  return {"threads", cat(used, " of ", cores, " processors"),
          used < cores ? "run.threads or OMP_NUM_THREADS sets their number" : ""};
}

Finding memory() {
  const auto kilobytes = [](const char* key) {
    const std::string text = value_in("/proc/meminfo", key);
    return text.empty() ? 0.0 : std::stod(text) * 1024;
  };
  const double free = kilobytes("MemAvailable"), limit = memory_limit();
  const std::string text = cat(fixed(gigabytes(free), 1), " of ", fixed(gigabytes(kilobytes("MemTotal")), 1), " GiB",
                               limit > 0 ? cat(", this container's limit ", fixed(gigabytes(limit), 1), " GiB") : "");
  // fp32 weights, gradients and activations of a small model; docs/models.md has larger ones.
  const bool little = gigabytes(limit > 0 ? std::min(free, limit) : free) < 4;
  return {"memory", text, little ? "below 4 GiB: train with train.micro_batch=1 train.recompute=true" : "", little};
}

Finding disk() {
  struct statvfs s {};
  if (::statvfs(".", &s) != 0) return {"disk", "unknown", "", true};
  const double free = static_cast<double>(s.f_bavail) * static_cast<double>(s.f_frsize);
  const bool little = gigabytes(free) < 2;
  return {"disk", cat(fixed(gigabytes(free), 1), " GiB here"),
          little ? "checkpoints hold each trained tensor three times; train.keep=1 keeps one" : "", little};
}

Finding gpu() {
  if (!torch::cuda::is_available()) return {"GPU", "none that this LibTorch can use", "model.device=cuda is refused"};
  std::vector<std::string> names;
  const auto count = static_cast<c10::DeviceIndex>(torch::cuda::device_count());
  for (c10::DeviceIndex i = 0; i < count; ++i) names.push_back(device_name(at::Device(torch::kCUDA, i)));
  return {"GPU", join(names, ", "), "model.device=cuda uses it"};
}

Finding processes() {
  const ProcessBackends built = process_backends();
  std::vector<std::string> names;
  if (built.gloo) names.emplace_back("Gloo");
  if (built.nccl) names.emplace_back("NCCL");
  return {"several processes", names.empty() ? "not built" : join(names, ", "),
          !built.gloo                                  ? "install libgloo-dev and build again to train with torchrun"
          : !built.nccl && torch::cuda::is_available() ? "without NCCL gradients of GPUs go through CPU memory"
                                                       : "",
          !built.gloo};
}

}  // namespace

void run_doctor(bool json) {
  const Config defaults;
  const Json environment = environment_json(defaults);
  const std::string version = cat("precis ", environment.at("precis").get<std::string>(), " (",
                                  environment.at("git_revision").get<std::string>(), "), LibTorch ", TORCH_VERSION);
  std::vector<Finding> findings = {{"versions", version, ""}};
#ifndef NDEBUG
  findings.push_back({"build", "debug", "cmake --preset release is many times faster", true});
#endif
  for (const auto& finding : {processor(), threads(), precision(), memory(), disk(), gpu(), processes()})
    findings.push_back(finding);
  for (const auto& [key, found, means, warns] : findings) {
    if (json) {
      std::printf("%s\n", Json({{"key", key}, {"found", found}, {"means", means}, {"warns", warns}}).dump().c_str());
    } else {
      std::printf("%s %-17s %s\n", warns ? "!" : " ", key.c_str(), found.c_str());
      if (!means.empty()) std::printf("  %-17s %s\n", "", means.c_str());
    }
  }
}

}  // namespace precis
