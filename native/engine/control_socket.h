// The engine's end of the control socket: whole messages in, queued messages out. It never blocks: what the daemon does not
// read is bounded, and beyond that dropped.
#pragma once

#include <sys/mman.h>
#include <sys/socket.h>

#include <deque>
#include <memory>

#include "commands.h"
#include "descriptor.h"

namespace fabric::engine {

class ControlSocket {
 public:
  explicit ControlSocket(Descriptor socket) : socket_(std::move(socket)), input_(new uint8_t[kInputBytes]) {
    mlock(input_.get(), kInputBytes);  // where the limit allows it, as in locked_memory.h
  }
  ~ControlSocket() { explicit_bzero(input_.get(), input_bytes_); }

  int fd() const { return socket_.get(); }
  // A daemon is at the other end, as far as is known.
  bool open() const { return socket_.open(); }
  // Takes another daemon, or none, in the place of this one: nothing of the conversation stays.
  void replace(Descriptor socket) {
    explicit_bzero(input_.get(), input_bytes_);
    input_bytes_ = 0;
    output_.clear();
    output_bytes_ = 0;
    written_ = 0;
    socket_ = std::move(socket);
  }
  bool wants_write() const { return !output_.empty(); }

  enum class Read { kOpen, kClosed, kMalformed };
  // Reads what is there and calls `take` for each message.
  template <typename Take>
  Read read(Take take) {
    const ssize_t bytes = ::read(socket_.get(), input_.get() + input_bytes_, kReadBytes);
    if (bytes == 0) return Read::kClosed;
    if (bytes < 0) return errno == EAGAIN || errno == EINTR ? Read::kOpen : Read::kClosed;
    input_bytes_ += static_cast<size_t>(bytes);
    size_t start = 0;
    while (input_bytes_ - start >= kMessageHeaderBytes) {
      const size_t length = load_u32(input_.get() + start);
      if (length == 0 || length > kMessageMax) return Read::kMalformed;
      if (input_bytes_ - start - kMessageHeaderBytes < length) break;
      if (!take(Bytes(input_.get() + start + kMessageHeaderBytes, length))) return Read::kMalformed;
      start += kMessageHeaderBytes + length;
    }
    // Messages carry keys: nothing of them stays.
    const size_t rest = input_bytes_ - start;
    memmove(input_.get(), input_.get() + start, rest);
    explicit_bzero(input_.get() + rest, start);
    input_bytes_ = rest;
    return Read::kOpen;
  }

  // A greeting is never too much: it is bounded by the peers, and a daemon that got half of it could not take over. Handshakes,
  // of which strangers send as many as they like, leave room for everything else.
  enum class Kind { kHandshake, kOther, kGreeting };
  // False when the daemon has too much unread, or there is none: the message is dropped.
  bool send(Message message, Kind kind = Kind::kOther) {
    const size_t bytes_max = kind == Kind::kHandshake ? kHandshakeOutputMax : kOutputMax;
    if (!open() || (kind != Kind::kGreeting && output_bytes_ + message.size() > bytes_max)) return false;
    output_bytes_ += message.size();
    output_.push_back(std::move(message));
    return true;
  }

  // False when the daemon is gone.
  bool flush() {
    while (!output_.empty()) {
      const Message& message = output_.front();
      const ssize_t bytes = ::send(socket_.get(), message.data() + written_, message.size() - written_, MSG_NOSIGNAL);
      if (bytes < 0) return errno == EAGAIN || errno == EINTR;
      written_ += static_cast<size_t>(bytes);
      if (written_ < message.size()) continue;
      output_bytes_ -= message.size();
      written_ = 0;
      output_.pop_front();
    }
    return true;
  }

 private:
  static constexpr size_t kReadBytes = 256 * 1024;
  // Less than a message waits for its rest, and one read comes behind it. The buffer never moves, which would leave keys behind.
  static constexpr size_t kInputBytes = kMessageMax + kMessageHeaderBytes + kReadBytes;
  static constexpr size_t kOutputMax = 4 << 20;
  static constexpr size_t kHandshakeOutputMax = kOutputMax / 2;

  Descriptor socket_;
  std::unique_ptr<uint8_t[]> input_;
  size_t input_bytes_ = 0;
  std::deque<Message> output_;
  size_t output_bytes_ = 0;
  size_t written_ = 0;
};

}  // namespace fabric::engine
