// See deferred_delete.h. Order: write, fsync, rename, fsync the directory; readers see whole records only.
#include "deferred_delete.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#include <cinttypes>
#include <cstdint>
#include <cstdio>
#include <cstring>

#include "descriptor.h"

namespace fabric {
namespace {

std::string failure(std::string_view what, const std::string& path) {
  const int error_number = errno;
  return std::string(what) + " " + path + ": " + strerror(error_number);
}

bool sync_directory(const std::string& path) {
  const Descriptor directory(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  return directory.open() && fsync(directory.get()) == 0;
}

// mkdir -p. What it makes is made durable in its parent.
bool make_directories(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) == 0) {
    if (S_ISDIR(status.st_mode)) return true;
    errno = ENOTDIR;
    return false;
  }
  const size_t slash = path.find_last_of('/');
  const std::string parent = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
  if (parent != path && !make_directories(parent)) return false;
  if (mkdir(path.c_str(), 0700) != 0) return errno == EEXIST;
  return sync_directory(parent);
}

// Sorts by time, differs between processes.
std::string unique_name() {
  timespec now{};
  clock_gettime(CLOCK_REALTIME, &now);
  uint64_t random = 0;
  // Without entropy the pid still tells concurrent shims apart, and O_EXCL refuses the rest.
  if (getrandom(&random, sizeof random, GRND_NONBLOCK) != static_cast<ssize_t>(sizeof random)) random = 0;
  char name[80];
  snprintf(name, sizeof name, "%020" PRIu64 "-%d-%016" PRIx64,
           static_cast<uint64_t>(now.tv_sec) * 1'000'000'000u + static_cast<uint64_t>(now.tv_nsec), getpid(), random);
  return name;
}

bool write_durably(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t written = write(fd, content.data(), content.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    content.remove_prefix(static_cast<size_t>(written));
  }
  return fsync(fd) == 0;
}

}  // namespace

std::string record_deferred_delete(const std::string& state_dir, std::string_view content) {
  const std::string directory = state_dir + "/cni-pending";
  if (!make_directories(directory)) return failure("mkdir", directory);
  const std::string name = unique_name();
  const std::string temporary = directory + "/." + name + ".tmp";
  const std::string final = directory + "/" + name + ".json";
  const Descriptor file(open(temporary.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!file.open()) return failure("create", temporary);
  if (!write_durably(file.get(), content) || rename(temporary.c_str(), final.c_str()) != 0) {
    const std::string error = failure("write", temporary);
    unlink(temporary.c_str());
    return error;
  }
  return sync_directory(directory) ? "" : failure("fsync", directory);
}

}  // namespace fabric
