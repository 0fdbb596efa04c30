// Datagrams on their way to the socket: those of one destination and size are gathered, so that one system call sends them
// all. The last one may be shorter, as the kernel allows.
#pragma once

#include <memory>

#include "drops.h"
#include "udp_socket.h"

namespace fabric::engine {

class Outbox {
 public:
  explicit Outbox(UdpSocket& socket) : socket_(socket), buffer_(new uint8_t[kSegmentedBytesMax + kDatagramMax]) {}

  // Memory for one datagram of `bytes`, to be filled before the next call. Drops are counted in `drops`, which lives until
  // the next flush.
  uint8_t* reserve(size_t bytes, const SocketAddress& to, DropCounts* drops) {
    const bool fits = count_ > 0 && count_ < kSegmentsMax && !short_ && bytes <= segment_bytes_ &&
                      used_ + bytes <= kSegmentedBytesMax && drops == drops_ && to == to_;
    if (!fits) {
      flush();
      to_ = to;
      drops_ = drops;
      segment_bytes_ = bytes;
    }
    short_ = bytes < segment_bytes_;
    uint8_t* at = buffer_.get() + used_;
    used_ += bytes;
    count_++;
    return at;
  }

  UdpSocket& socket() { return socket_; }

  void flush() {
    if (count_ == 0) return;
    const auto unsent = socket_.send(Bytes(buffer_.get(), used_), segment_bytes_, to_);
    drops_->count(Drop::kSendQueueFull, unsent.full);
    drops_->count(Drop::kSendFailed, unsent.failed);
    used_ = 0;
    count_ = 0;
    short_ = false;
  }

 private:
  UdpSocket& socket_;
  std::unique_ptr<uint8_t[]> buffer_;
  SocketAddress to_;
  DropCounts* drops_ = nullptr;
  size_t segment_bytes_ = 0;
  size_t used_ = 0;
  size_t count_ = 0;
  // The last datagram was a shorter one: nothing can follow it.
  bool short_ = false;
};

}  // namespace fabric::engine
