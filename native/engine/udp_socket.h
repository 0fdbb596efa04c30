// The tunnels' UDP socket: dual stack when it listens on `::`, with segmentation offload (UDP_SEGMENT) to send and receive
// offload (UDP_GRO), so that one system call moves up to 64 datagrams.
#pragma once

#include <netinet/in.h>

#include <atomic>
#include <optional>
#include <variant>

#include "bytes.h"
#include "descriptor.h"

namespace fabric::engine {

// Of the underlay. IPv4-mapped IPv6 is IPv4.
struct Endpoint {
  Ip ip;
  uint16_t port = 0;

  bool operator==(const Endpoint& other) const { return port == other.port && ip == other.ip; }
};

// An endpoint as the socket writes it.
struct SocketAddress {
  union {
    sockaddr generic;
    sockaddr_in v4;
    sockaddr_in6 v6;
  };
  socklen_t size = 0;

  SocketAddress() : v6{} {}
  bool operator==(const SocketAddress& other) const;
};

constexpr size_t kDatagramMax = 65507;
// The kernel's own limits of one send with UDP_SEGMENT; the bytes hold for IPv6, too.
constexpr size_t kSegmentsMax = 64;
constexpr size_t kSegmentedBytesMax = 65000;

// What to ask the kernel for; false: as on a kernel that lacks it.
struct UdpOffloads {
  bool segment = true;
  bool receive = true;
  // False: as on a network card that takes UDP_SEGMENT at first and then refuses each send with EIO.
  bool segment_lasts = true;
};

class UdpSocket {
 public:
  static std::variant<UdpSocket, Fault> open(const Endpoint& listen, const UdpOffloads& offloads);

  int fd() const { return socket_.get(); }
  uint16_t port() const { return port_; }
  // From any thread. Turns false when a send with UDP_SEGMENT met EIO: from then on each datagram goes by itself.
  bool segments() const { return std::atomic_ref(segments_).load(std::memory_order_relaxed); }
  bool receive_offload() const { return receive_offload_; }

  // Datagrams that found the receive buffer full, since the start.
  uint64_t overruns() const;

  SocketAddress address(const Endpoint& endpoint) const;
  static Endpoint endpoint(const SocketAddress& address);

  // Datagrams that did not leave, by why.
  struct Unsent {
    // The last ones: the socket's buffer is full, and once it is not they may leave.
    size_t waiting = 0;
    // The kernel had no memory for them.
    size_t lost = 0;
    size_t failed = 0;

    bool none() const { return waiting + lost + failed == 0; }
  };
  // `segment_bytes` 0: one datagram. Waits for nothing. From any thread.
  Unsent send(Bytes bytes, size_t segment_bytes, const SocketAddress& to);
  // Until half of the socket's buffer is free, at most 100 ms.
  void wait_writable() const;

 private:
  enum class Sent { kDone, kFull, kNoMemory, kFailed };

  static void note(Unsent* unsent, Sent sent, size_t datagrams);
  Sent send_once(Bytes bytes, size_t segment_bytes, const SocketAddress& to);

  Descriptor socket_;
  uint16_t port_ = 0;
  bool ipv6_ = false;
  mutable bool segments_ = false;
  bool segment_lasts_ = true;
  bool receive_offload_ = false;
};

}  // namespace fabric::engine
