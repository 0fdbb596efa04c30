#include "echo.h"

#include <arpa/inet.h>
#include <linux/errqueue.h>
#include <linux/icmp.h>
#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "unique_fd.h"

namespace fabric {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kIcmpHeaderBytes = 8;
constexpr std::uint32_t kPacketBytesMax = 65'535;

/** Where to, and how ICMP of that family looks. */
struct Target {
  sockaddr_storage address{};
  socklen_t length = 0;
  bool ip6 = false;
};

std::optional<Target> targetOf(const std::string& text) {
  Target target;
  auto* ip4 = reinterpret_cast<sockaddr_in*>(&target.address);
  auto* ip6 = reinterpret_cast<sockaddr_in6*>(&target.address);
  if (inet_pton(AF_INET, text.c_str(), &ip4->sin_addr) == 1) {
    ip4->sin_family = AF_INET;
    target.length = sizeof *ip4;
    return target;
  }
  if (inet_pton(AF_INET6, text.c_str(), &ip6->sin6_addr) != 1) return std::nullopt;
  ip6->sin6_family = AF_INET6;
  target.length = sizeof *ip6;
  target.ip6 = true;
  return target;
}

bool set(int fd, int level, int option, const auto& value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/** Never fragmented, whatever the kernel believes of the path; errors come to the queue; only echo replies are shown. */
bool prepare(int fd, bool ip6) {
  const int on = 1;
  if (ip6) {
    const int probe = IPV6_PMTUDISC_PROBE;
    icmp6_filter filter;
    ICMP6_FILTER_SETBLOCKALL(&filter);
    ICMP6_FILTER_SETPASS(ICMP6_ECHO_REPLY, &filter);
    return set(fd, IPPROTO_IPV6, IPV6_MTU_DISCOVER, probe) && set(fd, IPPROTO_IPV6, IPV6_RECVERR, on) &&
           set(fd, IPPROTO_ICMPV6, ICMP6_FILTER, filter);
  }
  const int probe = IP_PMTUDISC_PROBE;
  const icmp_filter filter{~(1u << ICMP_ECHOREPLY)};
  return set(fd, IPPROTO_IP, IP_MTU_DISCOVER, probe) && set(fd, IPPROTO_IP, IP_RECVERR, on) &&
         set(fd, SOL_RAW, ICMP_FILTER, filter);
}

/** RFC 1071; the length is even. */
std::uint16_t internetChecksum(std::span<const std::uint8_t> bytes) {
  std::uint32_t sum = 0;
  for (std::size_t i = 0; i + 1 < bytes.size(); i += 2) sum += static_cast<std::uint32_t>(bytes[i] << 8 | bytes[i + 1]);
  while (sum >> 16 != 0) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<std::uint16_t>(~sum);
}

/** Type, code, checksum (the kernel's affair on IPv6), identifier, sequence number, zeros. */
std::vector<std::uint8_t> requestOf(bool ip6, std::uint32_t packet_bytes, std::uint16_t identifier) {
  const std::size_t ip_bytes = ip6 ? 40 : 20;
  const std::size_t wanted = std::min(packet_bytes, kPacketBytesMax);
  const std::size_t length = std::max(wanted, ip_bytes + kIcmpHeaderBytes) - ip_bytes;
  std::vector<std::uint8_t> request(length);
  request[0] = ip6 ? ICMP6_ECHO_REQUEST : ICMP_ECHO;
  request[4] = static_cast<std::uint8_t>(identifier >> 8);
  request[5] = static_cast<std::uint8_t>(identifier);
  request[7] = 1;
  if (ip6) return request;
  // A last odd byte is zero and changes no sum.
  const std::uint16_t sum = internetChecksum(request);
  request[2] = static_cast<std::uint8_t>(sum >> 8);
  request[3] = static_cast<std::uint8_t>(sum);
  return request;
}

/** True for the reply to our request; a raw IPv4 socket shows the IP header, too. */
bool isOurReply(std::span<const std::uint8_t> packet, bool ip6, std::uint16_t identifier) {
  std::size_t at = 0;
  if (!ip6) {
    if (packet.empty()) return false;
    at = static_cast<std::size_t>(packet[0] & 0x0f) * 4;
  }
  if (packet.size() < at + kIcmpHeaderBytes) return false;
  const int type = ip6 ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
  return packet[at] == type && (packet[at + 4] << 8 | packet[at + 5]) == identifier;
}

/** The first error of the queue that is about our path; none when it was empty. */
std::optional<EchoResult> queuedError(int fd) {
  std::array<std::uint8_t, 256> quoted;
  alignas(cmsghdr) std::array<std::uint8_t, 512> control;
  iovec part{quoted.data(), quoted.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  message.msg_control = control.data();
  message.msg_controllen = control.size();
  if (recvmsg(fd, &message, MSG_ERRQUEUE | MSG_DONTWAIT) < 0) return std::nullopt;
  for (cmsghdr* each = CMSG_FIRSTHDR(&message); each != nullptr; each = CMSG_NXTHDR(&message, each)) {
    const bool ours = (each->cmsg_level == IPPROTO_IP && each->cmsg_type == IP_RECVERR) ||
                      (each->cmsg_level == IPPROTO_IPV6 && each->cmsg_type == IPV6_RECVERR);
    if (!ours) continue;
    sock_extended_err error;
    std::memcpy(&error, CMSG_DATA(each), sizeof error);
    if (error.ee_errno == EMSGSIZE) return EchoResult{EchoOutcome::TooBig, 0, error.ee_info};
    return EchoResult{EchoOutcome::Unreachable, 0, 0};
  }
  return std::nullopt;
}

/** What the kernel says of a packet that it did not even send. */
Result<EchoResult> refused(int fd, bool ip6) {
  if (errno == EMSGSIZE) {
    if (auto said = queuedError(fd)) return *said;
    int mtu = 0;
    socklen_t length = sizeof mtu;
    const int got = ip6 ? getsockopt(fd, IPPROTO_IPV6, IPV6_MTU, &mtu, &length)
                        : getsockopt(fd, IPPROTO_IP, IP_MTU, &mtu, &length);
    if (got != 0) return lastError("getsockopt");
    return EchoResult{EchoOutcome::TooBig, 0, static_cast<std::uint32_t>(mtu)};
  }
  if (errno == ENETUNREACH || errno == EHOSTUNREACH || errno == EPERM || errno == EACCES) {
    return EchoResult{EchoOutcome::Unreachable, 0, 0};  // no route, or a firewall on output
  }
  return lastError("send");
}

std::uint16_t freshIdentifier() {
  const auto ticks = static_cast<std::uint64_t>(Clock::now().time_since_epoch().count());
  return static_cast<std::uint16_t>((ticks >> 7) ^ static_cast<std::uint64_t>(getpid()));
}

}  // namespace

Result<EchoResult> echo(const std::string& address, std::uint32_t packet_bytes, std::chrono::milliseconds timeout) {
  const auto target = targetOf(address);
  if (!target) return SystemError{EINVAL, "inet_pton"};
  const int protocol = target->ip6 ? static_cast<int>(IPPROTO_ICMPV6) : static_cast<int>(IPPROTO_ICMP);
  UniqueFd fd(socket(target->ip6 ? AF_INET6 : AF_INET, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, protocol));
  if (!fd) return lastError("socket");
  if (!prepare(fd.get(), target->ip6)) return lastError("setsockopt");
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&target->address), target->length) != 0) {
    return refused(fd.get(), target->ip6);
  }
  const std::uint16_t identifier = freshIdentifier();
  const auto request = requestOf(target->ip6, packet_bytes, identifier);
  const auto sent = Clock::now();
  if (send(fd.get(), request.data(), request.size(), 0) < 0) return refused(fd.get(), target->ip6);

  std::vector<std::uint8_t> packet(kPacketBytesMax + 1);
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(sent + timeout - Clock::now());
    if (left.count() <= 0) return EchoResult{EchoOutcome::Silent, 0, 0};
    pollfd waiting{fd.get(), POLLIN, 0};
    const int ready = poll(&waiting, 1, static_cast<int>(left.count()));
    if (ready < 0 && errno != EINTR) return lastError("poll");
    if (ready <= 0) continue;
    if (auto error = queuedError(fd.get())) return *error;
    const ssize_t length = recv(fd.get(), packet.data(), packet.size(), 0);
    if (length < 0) {
      if (errno == EAGAIN || errno == EINTR) continue;
      if (auto error = queuedError(fd.get())) return *error;
      return EchoResult{EchoOutcome::Unreachable, 0, 0};
    }
    if (!isOurReply({packet.data(), static_cast<std::size_t>(length)}, target->ip6, identifier)) continue;
    const std::chrono::duration<double, std::milli> rtt = Clock::now() - sent;
    return EchoResult{EchoOutcome::Reply, rtt.count(), 0};
  }
}

}  // namespace fabric
