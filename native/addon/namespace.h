// Network namespaces: opening their handles safely, and doing one thing inside another one. The thread that enters a
// namespace is made for that and ends with it; a thread of Node or libuv never changes its own.
#pragma once

#include <sched.h>
#include <sys/types.h>

#include <string>
#include <thread>

#include "result.h"
#include "unique_fd.h"

namespace fabric {

struct NamespaceId {
  dev_t dev;
  ino_t ino;
};

struct OpenNamespace {
  UniqueFd fd;
  NamespaceId id;
};

/** EINVAL when the path is anything but a network namespace; it is not opened then. */
Result<OpenNamespace> openNamespace(const std::string& path);

/** The calling process's. */
Result<NamespaceId> currentNamespace();

/** A descriptor of our own for work that outlives the call; an empty one for -1 (the own namespace). */
Result<UniqueFd> duplicate(int fd);

/** Runs `work` in the namespace of `fd` and waits for it; -1 is the own namespace and needs no thread. */
template <typename Work>
auto inNamespace(int fd, Work&& work) noexcept -> decltype(work()) {
  if (fd < 0) return guarded(work);
  return guarded([&] {
    decltype(work()) result = SystemError{ECANCELED, "setns"};
    std::thread visitor([&]() noexcept { result = setns(fd, CLONE_NEWNET) == 0 ? guarded(work) : lastError("setns"); });
    visitor.join();
    return result;
  });
}

}  // namespace fabric
