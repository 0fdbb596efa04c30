#include "namespace.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/vfs.h>

namespace fabric {

Result<OpenNamespace> openNamespace(const std::string& path) {
  // O_PATH has no effect on what stands there (FIFO, device); only an nsfs file is opened for real.
  UniqueFd place(open(path.c_str(), O_PATH | O_CLOEXEC));
  if (!place) return lastError("open");
  struct statfs filesystem {};
  if (fstatfs(place.get(), &filesystem) != 0) return lastError("fstatfs");
  if (filesystem.f_type != NSFS_MAGIC) return SystemError{EINVAL, "open"};

  const std::string handle = "/proc/self/fd/" + std::to_string(place.get());
  UniqueFd fd(open(handle.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd) return lastError("open");
  const int kind = ioctl(fd.get(), NS_GET_NSTYPE);
  if (kind < 0) return lastError("ioctl");
  if (kind != CLONE_NEWNET) return SystemError{EINVAL, "ioctl"};
  struct stat facts {};
  if (fstat(fd.get(), &facts) != 0) return lastError("fstat");
  return OpenNamespace{std::move(fd), {facts.st_dev, facts.st_ino}};
}

Result<NamespaceId> currentNamespace() {
  struct stat facts {};
  if (stat("/proc/self/ns/net", &facts) != 0) return lastError("stat");
  return NamespaceId{facts.st_dev, facts.st_ino};
}

Result<UniqueFd> duplicate(int fd) {
  if (fd < 0) return UniqueFd();
  UniqueFd copy(fcntl(fd, F_DUPFD_CLOEXEC, 0));
  if (!copy) return lastError("fcntl");
  return copy;
}

}  // namespace fabric
