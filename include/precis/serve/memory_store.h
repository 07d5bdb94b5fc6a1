// Memories in a folder, one file each, found by id. The most recently used ones are kept in RAM within a byte budget.
#pragma once

#include <filesystem>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "precis/memory/memory_file.h"

namespace precis {

// Safe to use from several threads. A memory in use stays valid when it is dropped from RAM or removed.
class MemoryStore {
 public:
  // Creates the folder if it is missing and locks it. `ram_bytes`: budget of the content kept in RAM.
  MemoryStore(const std::filesystem::path& folder, int64_t ram_bytes);
  ~MemoryStore();

  // The id of a text's memory: the same for the same text, compressor and ratio.
  static std::string id_of(const std::string& compressor_hash, int64_t ratio, const std::string& source_hash);

  bool has(const std::string& id) const;
  // The memory with this id, from RAM or its file; null if there is none. Throws Error if its file is broken.
  std::shared_ptr<const MemoryFile> find(const std::string& id);
  // Written to disk before it can be found.
  void put(const std::string& id, const MemoryFile& file);
  bool remove(const std::string& id);
  std::vector<std::string> ids() const;  // in order
  std::filesystem::path path_of(const std::string& id) const;

  int64_t bytes_in_ram() const;

 private:
  struct Kept {
    std::string id;
    std::shared_ptr<const MemoryFile> file;
    int64_t bytes;
  };
  void keep(const std::string& id, std::shared_ptr<const MemoryFile> file);
  void drop(const std::string& id);

  std::filesystem::path folder_;
  std::unique_ptr<class FolderLock> lock_;
  int64_t ram_bytes_, used_ = 0;
  mutable std::mutex mutex_;
  std::list<Kept> kept_;  // the most recently used first
  std::map<std::string, std::list<Kept>::iterator> by_id_;
};

}  // namespace precis
