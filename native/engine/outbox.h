// Datagrams on their way to the socket: those of one destination and size are gathered, so that one system call sends them
// all. The last one may be shorter, as the kernel allows. Where the socket's buffer is full a train of them is kept, and one more
// gathered; beyond that the older one gives way. Invariant: what leaves, leaves in order.
#pragma once

#include <memory>

#include "drops.h"
#include "udp_socket.h"

namespace fabric::engine {

class Outbox {
 public:
  explicit Outbox(UdpSocket& socket) : socket_(socket) {}

  // Memory for one datagram of `bytes`, to be filled before the next call. Drops are counted in `drops`, which lives until
  // `abandon` or until a flush leaves nothing waiting.
  uint8_t* reserve(size_t bytes, const SocketAddress& to, DropCounts* drops) {
    if (!train_.fits(bytes, to, drops)) {
      flush();
      if (train_.count > 0) {
        kept_.drop();
        std::swap(kept_, train_);
      }
      train_.to = to;
      train_.drops = drops;
      train_.segment_bytes = bytes;
    }
    return train_.add(bytes);
  }

  UdpSocket& socket() const { return socket_; }

  // The last datagrams of the turn leave, too, if the socket has room.
  void flush() {
    if (waiting()) send(kept_);
    if (waiting()) return;
    send(train_);
    if (train_.count > 0) std::swap(kept_, train_);
  }

  // After a flush: the socket had no room for all.
  bool waiting() const { return kept_.count > 0; }

  // What waits is dropped.
  void abandon() {
    kept_.drop();
    train_.drop();
  }

 private:
  struct Train {
    std::unique_ptr<uint8_t[]> buffer{new uint8_t[kSegmentedBytesMax + kDatagramMax]};
    SocketAddress to;
    DropCounts* drops = nullptr;
    size_t segment_bytes = 0;
    // What has left already, and the end, in bytes.
    size_t start = 0;
    size_t used = 0;
    // Datagrams that have not left.
    size_t count = 0;
    // The last datagram was a shorter one: nothing can follow it.
    bool is_closed = false;

    bool fits(size_t bytes, const SocketAddress& destination, const DropCounts* counted) const {
      return count > 0 && count < kSegmentsMax && !is_closed && bytes <= segment_bytes &&
             used + bytes <= kSegmentedBytesMax && counted == drops && destination == to;
    }
    uint8_t* add(size_t bytes) {
      is_closed = bytes < segment_bytes;
      uint8_t* at = buffer.get() + used;
      used += bytes;
      count++;
      return at;
    }
    void clear() {
      start = 0;
      used = 0;
      count = 0;
      is_closed = false;
    }
    void drop() {
      if (count > 0) drops->count(Drop::kSendQueueFull, count);
      clear();
    }
  };

  void send(Train& train) {
    if (train.count == 0) return;
    const auto unsent =
        socket_.send(Bytes(train.buffer.get() + train.start, train.used - train.start), train.segment_bytes, train.to);
    train.drops->count(Drop::kSendQueueFull, unsent.lost);
    train.drops->count(Drop::kSendFailed, unsent.failed);
    if (unsent.waiting == 0) return train.clear();
    train.start += (train.count - unsent.waiting) * train.segment_bytes;
    train.count = unsent.waiting;
  }

  UdpSocket& socket_;
  // Being gathered.
  Train train_;
  // Gathered before, and not taken by the socket yet.
  Train kept_;
};

}  // namespace fabric::engine
