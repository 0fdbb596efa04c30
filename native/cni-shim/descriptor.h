// A file descriptor that closes itself, and a point in time that I/O must not pass.
#pragma once

#include <poll.h>
#include <time.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace fabric {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() { reset(); }

  int get() const { return fd_; }
  bool open() const { return fd_ >= 0; }
  void reset() {
    if (fd_ >= 0) close(fd_);
    fd_ = -1;
  }

 private:
  int fd_ = -1;
};

class Deadline {
 public:
  explicit Deadline(int timeout_ms) : at_ms_(now_ms() + timeout_ms) {}

  // For poll: milliseconds left, at least 0.
  int left_ms() const {
    const long long left = at_ms_ - now_ms();
    return left > 0 ? static_cast<int>(left) : 0;
  }

  // True when `fds` are ready; false with errno ETIMEDOUT, or that of poll.
  bool wait(pollfd* fds, nfds_t count) const {
    for (;;) {
      const int ready = poll(fds, count, left_ms());
      if (ready > 0) return true;
      if (ready == 0) {
        errno = ETIMEDOUT;
        return false;
      }
      if (errno != EINTR) return false;
    }
  }

 private:
  static long long now_ms() {
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000LL + now.tv_nsec / 1'000'000;
  }

  long long at_ms_;
};

}  // namespace fabric
