#include "precis/serve/memory_store.h"

#include <algorithm>

#include "precis/core/error.h"
#include "precis/core/file.h"
#include "precis/core/hash.h"
#include "precis/core/strings.h"

namespace precis {
namespace fs = std::filesystem;
namespace {

constexpr const char* prefix = "mem-";

// Ids become file names, so nothing else may reach the folder.
bool is_id(const std::string& text) {
  return text.starts_with(prefix) && text.size() == 28 &&
         text.find_first_not_of("0123456789abcdef", 4) == std::string::npos;
}

}  // namespace

MemoryStore::MemoryStore(const fs::path& folder, int64_t ram_bytes) : folder_(folder), ram_bytes_(ram_bytes) {
  make_folder(folder);
  lock_ = std::make_unique<FolderLock>(folder);
}

MemoryStore::~MemoryStore() = default;

std::string MemoryStore::id_of(const std::string& compressor_hash, int64_t ratio, const std::string& source_hash) {
  return prefix + hash_hex(cat(compressor_hash, ' ', ratio, ' ', source_hash)).substr(0, 24);
}

fs::path MemoryStore::path_of(const std::string& id) const { return folder_ / (id + ".safetensors"); }

bool MemoryStore::has(const std::string& id) const { return is_id(id) && fs::exists(path_of(id)); }

std::shared_ptr<const MemoryFile> MemoryStore::find(const std::string& id) {
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = by_id_.find(id); found != by_id_.end()) {
      kept_.splice(kept_.begin(), kept_, found->second);
      return kept_.front().file;
    }
  }
  if (!has(id)) return nullptr;
  auto file = std::make_shared<const MemoryFile>(load_memory(path_of(id)));
  keep(id, file);
  return file;
}

void MemoryStore::put(const std::string& id, const MemoryFile& file) {
  save_memory(path_of(id), file);
  keep(id, std::make_shared<const MemoryFile>(file));
}

bool MemoryStore::remove(const std::string& id) {
  if (!is_id(id)) return false;
  const std::lock_guard lock(mutex_);
  drop(id);
  return fs::remove(path_of(id));
}

std::vector<std::string> MemoryStore::ids() const {
  std::vector<std::string> out;
  for (const auto& entry : fs::directory_iterator(folder_)) {
    const std::string id = entry.path().stem().string();
    if (entry.path().extension() == ".safetensors" && is_id(id)) out.push_back(id);
  }
  std::sort(out.begin(), out.end());
  return out;
}

int64_t MemoryStore::bytes_in_ram() const {
  const std::lock_guard lock(mutex_);
  return used_;
}

void MemoryStore::keep(const std::string& id, std::shared_ptr<const MemoryFile> file) {
  const int64_t bytes = file->memory.bytes(0);
  const std::lock_guard lock(mutex_);
  drop(id);
  kept_.push_front({id, std::move(file), bytes});
  by_id_[id] = kept_.begin();
  used_ += bytes;
  while (used_ > ram_bytes_ && !kept_.empty()) drop(std::string(kept_.back().id));
}

void MemoryStore::drop(const std::string& id) {
  const auto found = by_id_.find(id);
  if (found == by_id_.end()) return;
  used_ -= found->second->bytes;
  kept_.erase(found->second);
  by_id_.erase(found);
}

}  // namespace precis
