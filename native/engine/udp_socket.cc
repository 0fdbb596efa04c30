// See udp_socket.h.
#include "udp_socket.h"

#include <linux/sock_diag.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>

namespace fabric::engine {
namespace {

// Our tuning: bursts wait here while the other side of the engine is busy. *FORCE goes beyond net.core.[rw]mem_max.
constexpr int kBufferBytes = 8 << 20;
constexpr int kFullWaitMs = 100;

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif
#ifndef UDP_GRO
#define UDP_GRO 104
#endif

bool set_option(int fd, int level, int name, int value) {
  return setsockopt(fd, level, name, &value, sizeof value) == 0;
}

Descriptor open_socket(int family) {
  Descriptor socket(::socket(family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.open() && family == AF_INET6) set_option(socket.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  return socket;
}

}  // namespace

bool SocketAddress::operator==(const SocketAddress& other) const {
  return size == other.size && memcmp(&v6, &other.v6, size) == 0;
}

std::variant<UdpSocket, Fault> UdpSocket::open(const Endpoint& listen, const UdpOffloads& offloads) {
  UdpSocket udp;
  Endpoint local = listen;
  udp.ipv6_ = local.ip.family == 6;
  udp.socket_ = open_socket(udp.ipv6_ ? AF_INET6 : AF_INET);
  if (!udp.socket_.open() && errno == EAFNOSUPPORT && local.ip.unspecified()) {
    local.ip = Ip{};
    local.ip.family = 4;
    udp.ipv6_ = false;
    udp.socket_ = open_socket(AF_INET);
  }
  if (!udp.socket_.open()) return Fault::from_errno("kernel-feature-missing", "UDP socket");
  const int fd = udp.socket_.get();
  for (const int option : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) set_option(fd, SOL_SOCKET, option, kBufferBytes);
  SocketAddress address = udp.address(local);
  if (bind(fd, &address.generic, address.size) != 0) {
    return Fault::from_errno(errno == EADDRINUSE ? "port-in-use" : "usage", "UDP port " + std::to_string(local.port));
  }
  socklen_t size = sizeof address.v6;
  getsockname(fd, &address.generic, &size);
  udp.port_ = ntohs(udp.ipv6_ ? address.v6.sin6_port : address.v4.sin_port);
  int segment = 0;
  socklen_t length = sizeof segment;
  udp.segments_ = offloads.segment && getsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, &length) == 0;
  udp.segment_lasts_ = offloads.segment_lasts;
  // Sizes are found out by probes (src/router/path-search.ts): no fragments, and no word of routers that nobody authenticated.
  set_option(fd, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
  if (udp.ipv6_) set_option(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
  udp.receive_offload_ = offloads.receive && set_option(fd, SOL_UDP, UDP_GRO, 1);
  return udp;
}

uint64_t UdpSocket::overruns() const {
  uint32_t facts[SK_MEMINFO_VARS] = {};
  socklen_t size = sizeof facts;
  getsockopt(socket_.get(), SOL_SOCKET, SO_MEMINFO, facts, &size);
  return facts[SK_MEMINFO_DROPS];
}

SocketAddress UdpSocket::address(const Endpoint& endpoint) const {
  SocketAddress address;
  // The kernel refuses a family that the socket has not.
  if (!ipv6_ && endpoint.ip.family == 4) {
    address.v4 = {};
    address.v4.sin_family = AF_INET;
    address.v4.sin_port = htons(endpoint.port);
    memcpy(&address.v4.sin_addr, endpoint.ip.bytes, 4);
    address.size = sizeof address.v4;
    return address;
  }
  address.v6.sin6_family = AF_INET6;
  address.v6.sin6_port = htons(endpoint.port);
  uint8_t* bytes = address.v6.sin6_addr.s6_addr;
  if (endpoint.ip.family == 4) {
    bytes[10] = bytes[11] = 0xff;
    memcpy(bytes + 12, endpoint.ip.bytes, 4);
  } else {
    memcpy(bytes, endpoint.ip.bytes, 16);
  }
  address.size = sizeof address.v6;
  return address;
}

Endpoint UdpSocket::endpoint(const SocketAddress& address) {
  if (address.generic.sa_family == AF_INET) {
    return {Ip::read(reinterpret_cast<const uint8_t*>(&address.v4.sin_addr), 4), ntohs(address.v4.sin_port)};
  }
  const uint8_t* bytes = address.v6.sin6_addr.s6_addr;
  const bool mapped = IN6_IS_ADDR_V4MAPPED(&address.v6.sin6_addr);
  return {mapped ? Ip::read(bytes + 12, 4) : Ip::read(bytes, 6), ntohs(address.v6.sin6_port)};
}

UdpSocket::Unsent UdpSocket::send(Bytes bytes, size_t segment_bytes, const SocketAddress& to) {
  Unsent unsent;
  if (segment_bytes == 0 || bytes.size() <= segment_bytes) {
    note(&unsent, send_once(bytes, 0, to), 1);
    return unsent;
  }
  const auto datagrams_from = [&](size_t start) { return (bytes.size() - start + segment_bytes - 1) / segment_bytes; };
  if (segments()) {
    const Sent sent = send_once(bytes, segment_bytes, to);
    // Some network cards take the offload and then refuse it (EIO), some a train (EINVAL); where the train's datagrams are larger
    // than the uplink takes (EMSGSIZE), its last may be smaller. Other errors would be the same for each.
    if (sent != Sent::kFailed || (errno != EIO && errno != EINVAL && errno != EMSGSIZE)) {
      note(&unsent, sent, datagrams_from(0));
      return unsent;
    }
    if (errno == EIO) std::atomic_ref(segments_).store(false, std::memory_order_relaxed);
  }
  for (size_t start = 0; start < bytes.size() && unsent.waiting == 0; start += segment_bytes) {
    const Sent sent = send_once(bytes.subspan(start, std::min(segment_bytes, bytes.size() - start)), 0, to);
    note(&unsent, sent, sent == Sent::kFull ? datagrams_from(start) : 1);
  }
  return unsent;
}

void UdpSocket::note(Unsent* unsent, Sent sent, size_t datagrams) {
  if (sent == Sent::kFull) unsent->waiting += datagrams;
  if (sent == Sent::kNoMemory) unsent->lost += datagrams;
  if (sent == Sent::kFailed) unsent->failed += datagrams;
}

void UdpSocket::wait_writable() const {
  pollfd writable{socket_.get(), POLLOUT, 0};
  poll(&writable, 1, kFullWaitMs);
}

UdpSocket::Sent UdpSocket::send_once(Bytes bytes, size_t segment_bytes, const SocketAddress& to) {
  iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_name = const_cast<sockaddr*>(&to.generic);
  message.msg_namelen = to.size;
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {};
  if (segment_bytes != 0) {
    if (!segment_lasts_) {
      errno = EIO;
      return Sent::kFailed;
    }
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto value = static_cast<uint16_t>(segment_bytes);
    memcpy(CMSG_DATA(header), &value, sizeof value);
  }
  for (;;) {
    if (sendmsg(socket_.get(), &message, 0) >= 0) return Sent::kDone;
    if (errno == EINTR) continue;
    if (errno == EAGAIN) return Sent::kFull;
    return errno == ENOBUFS ? Sent::kNoMemory : Sent::kFailed;
  }
}

}  // namespace fabric::engine
