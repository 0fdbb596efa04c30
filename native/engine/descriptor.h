// A file descriptor that closes itself, and the errors of system calls as values: the engine throws nothing.
#pragma once

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

namespace fabric::engine {

class Descriptor {
 public:
  Descriptor() = default;
  explicit Descriptor(int fd) : fd_(fd) {}
  Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }

  bool open() const { return fd_ >= 0; }
  int get() const { return fd_; }
  void close() { Descriptor().swap(*this); }
  void swap(Descriptor& other) { std::swap(fd_, other.fd_); }

 private:
  int fd_ = -1;
};

// Why the engine can't start or go on: a stable code of src/base/errors.ts and a clause for people.
struct Fault {
  std::string code;
  std::string why;

  static Fault from_errno(std::string code, const std::string& what) {
    return {std::move(code), what + ": " + strerror(errno)};
  }
};

}  // namespace fabric::engine
