#include "netlink.h"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <memory>

#include "namespace.h"
#include "netlink_messages.h"

namespace fabric {
namespace {

using Clock = std::chrono::steady_clock;

/** A routing table of some 500,000 entries; more is a wrong request. */
constexpr std::size_t kReplyBytesMax = 64 * 1024 * 1024;
/** The acks of a full batch, and a burst of events while JavaScript is busy. The kernel charges about 1 KiB per ack. */
constexpr int kRequestBufferBytes = 1024 * 1024;
constexpr int kSendBufferBytes = 1024 * 1024;
constexpr int kListenBufferBytes = 4 * 1024 * 1024;

bool setOption(int fd, int level, int option, int value) {
  return setsockopt(fd, level, option, &value, sizeof value) == 0;
}

/** Without CAP_NET_ADMIN the plain option gives as much as the system's limit allows. */
bool setBuffer(int fd, int forced, int plain, int bytes) {
  return setOption(fd, SOL_SOCKET, forced, bytes) || setOption(fd, SOL_SOCKET, plain, bytes);
}

Result<Done> sendAll(int fd, std::span<const std::uint8_t> request) {
  sockaddr_nl kernel{};
  kernel.nl_family = AF_NETLINK;
  ssize_t sent;
  do {
    sent = sendto(fd, request.data(), request.size(), 0, reinterpret_cast<sockaddr*>(&kernel), sizeof kernel);
  } while (sent < 0 && errno == EINTR);
  if (sent < 0) return lastError("sendto");
  return Done{};
}

/** Waits until something can be received; ETIMEDOUT at the deadline. */
Result<Done> waitReadable(int fd, Clock::time_point deadline) {
  for (;;) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return SystemError{ETIMEDOUT, "recvmsg"};
    pollfd wanted{fd, POLLIN, 0};
    const int ready = poll(&wanted, 1, static_cast<int>(left.count()));
    if (ready > 0) return Done{};
    if (ready < 0 && errno != EINTR) return lastError("poll");
  }
}

/** One datagram into `buffer`, without waiting; its length, or 0 when there is none or it is not the kernel's. */
Result<std::size_t> receiveInto(int fd, std::span<std::uint8_t> buffer) {
  sockaddr_nl from{};
  iovec space{buffer.data(), buffer.size()};
  msghdr message{};
  message.msg_name = &from;
  message.msg_namelen = sizeof from;
  message.msg_iov = &space;
  message.msg_iovlen = 1;
  const ssize_t length = recvmsg(fd, &message, MSG_DONTWAIT);
  if (length < 0) {
    if (errno == EAGAIN || errno == EINTR) return std::size_t{0};
    return lastError("recvmsg");
  }
  if ((message.msg_flags & MSG_TRUNC) != 0) return SystemError{EMSGSIZE, "recvmsg"};
  return from.nl_pid == 0 ? static_cast<std::size_t>(length) : std::size_t{0};
}

}  // namespace

Result<UniqueFd> openNetlink(int protocol, int namespaceFd, std::span<const int> groups) {
  auto socketThere = inNamespace(namespaceFd, [&]() -> Result<UniqueFd> {
    UniqueFd fd(socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol));
    if (!fd) return lastError("socket");
    return fd;
  });
  if (!socketThere.ok()) return socketThere;
  const int fd = socketThere.value().get();
  sockaddr_nl own{};
  own.nl_family = AF_NETLINK;
  if (bind(fd, reinterpret_cast<sockaddr*>(&own), sizeof own) != 0) return lastError("bind");
  for (const int option : {NETLINK_EXT_ACK, NETLINK_CAP_ACK, NETLINK_GET_STRICT_CHK}) {
    if (!setOption(fd, SOL_NETLINK, option, 1)) return lastError("setsockopt");
  }
  const int bufferBytes = groups.empty() ? kRequestBufferBytes : kListenBufferBytes;
  if (!setBuffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, bufferBytes)) return lastError("setsockopt");
  if (!setBuffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, kSendBufferBytes)) return lastError("setsockopt");
  for (const int group : groups) {
    if (!setOption(fd, SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, group)) return lastError("setsockopt");
  }
  return socketThere;
}

Result<Bytes> exchangeNetlink(int fd, std::span<const std::uint8_t> request, std::chrono::milliseconds timeout) {
  const auto deadline = Clock::now() + timeout;
  Outstanding outstanding(request);
  if (auto sent = sendAll(fd, request); !sent.ok()) return sent.error();

  Bytes replies;
  const auto buffer = std::make_unique_for_overwrite<std::uint8_t[]>(kDatagramBytesMax);
  while (!outstanding.finished()) {
    // Most answers are there when sending returns.
    auto received = receiveInto(fd, {buffer.get(), kDatagramBytesMax});
    if (!received.ok()) return received.error();
    if (received.value() == 0) {
      if (auto readable = waitReadable(fd, deadline); !readable.ok()) return readable.error();
      continue;
    }
    eachMessage({buffer.get(), received.value()}, [&](const nlmsghdr& header, std::span<const std::uint8_t> message) {
      if (!outstanding.sent(header.nlmsg_seq)) return true;
      replies.insert(replies.end(), message.begin(), message.end());
      replies.resize(netlinkAlign(replies.size()));
      outstanding.note(header, message);
      return true;
    });
    if (replies.size() > kReplyBytesMax) return SystemError{EMSGSIZE, "recvmsg"};
  }
  return replies;
}

Result<Bytes> exchangeInTurn(int fd, int namespaceFd, std::span<const ExchangeStep> steps,
                             std::chrono::milliseconds timeout) {
  Bytes replies;
  for (const ExchangeStep& step : steps) {
    if (const auto* settings = std::get_if<SysctlSettings>(&step)) {
      if (auto written = writeSysctls(*settings, namespaceFd); !written.ok()) return written.error();
      continue;
    }
    auto exchanged = exchangeNetlink(fd, std::get<Bytes>(step), timeout);
    if (!exchanged.ok() || steps.size() == 1) return exchanged;
    replies.insert(replies.end(), exchanged.value().begin(), exchanged.value().end());
  }
  return replies;
}

Result<std::optional<Bytes>> receiveNetlink(int fd, std::span<std::uint8_t> buffer) {
  auto received = receiveInto(fd, buffer);
  if (!received.ok()) return received.error();
  if (received.value() == 0) return std::optional<Bytes>();
  const auto datagram = buffer.first(received.value());
  return std::optional<Bytes>(Bytes(datagram.begin(), datagram.end()));
}

}  // namespace fabric
