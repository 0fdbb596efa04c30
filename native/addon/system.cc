#include "system.h"

#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include "namespace.h"
#include "unique_fd.h"

namespace fabric {
namespace {

Result<Done> writeHere(int directory, const std::string& path, const std::string& value) {
  UniqueFd file(openat(directory, path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return lastError("open");
  if (write(file.get(), value.data(), value.size()) < 0) return lastError("write");
  return Done{};
}

}  // namespace

Result<std::string> readSysctl(const std::string& path, int namespaceFd) {
  return inNamespace(namespaceFd, [&]() -> Result<std::string> {
    UniqueFd file(open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!file) return lastError("open");
    std::array<char, 4096> text;
    const ssize_t length = read(file.get(), text.data(), text.size());
    if (length < 0) return lastError("read");
    return std::string(text.data(), static_cast<std::size_t>(length));
  });
}

Result<Done> writeSysctl(const std::string& path, const std::string& value, int namespaceFd) {
  return inNamespace(namespaceFd, [&] { return writeHere(AT_FDCWD, path, value); });
}

Result<Done> writeSysctls(const SysctlSettings& settings, int namespaceFd) {
  return inNamespace(namespaceFd, [&]() -> Result<Done> {
    // The directory of an interface is looked for once: its name stands for one in each namespace, and the kernel's table of
    // names holds all of them in one chain (proc_sys_compare).
    UniqueFd directory;
    std::string opened;
    for (const SysctlSetting& setting : settings) {
      const std::size_t name = setting.path.rfind('/') + 1;
      if (const std::string parent = setting.path.substr(0, name); parent != opened) {
        directory = UniqueFd(open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (!directory && errno != ENOENT) return lastError("open");
        opened = parent;
      }
      if (!directory) continue;
      auto done = writeHere(directory.get(), setting.path.substr(name), setting.value);
      if (!done.ok() && done.error().code != ENOENT) return done;
    }
    return Done{};
  });
}

Result<std::vector<EthtoolValue>> ethtoolValues(const std::string& ifname, std::vector<EthtoolValue> commands,
                                                int namespaceFd) {
  ifreq request{};
  if (ifname.empty() || ifname.size() >= sizeof request.ifr_name) return SystemError{ENODEV, "ioctl"};
  std::memcpy(request.ifr_name, ifname.data(), ifname.size());
  return inNamespace(namespaceFd, [&]() -> Result<std::vector<EthtoolValue>> {
    UniqueFd socketThere(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    if (!socketThere) return lastError("socket");
    for (EthtoolValue& command : commands) {
      ethtool_value data{command.command, command.value};
      request.ifr_data = reinterpret_cast<char*>(&data);
      if (ioctl(socketThere.get(), SIOCETHTOOL, &request) != 0) return lastError("ioctl");
      command.value = data.data;
    }
    return std::move(commands);
  });
}

Result<ucred> peerCredentials(int fd) {
  ucred credentials{};
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return lastError("getsockopt");
  return credentials;
}

Result<Done> limitTcpSegments(int fd, int bytes) {
  if (setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &bytes, sizeof bytes) != 0) return lastError("setsockopt");
  return Done{};
}

Result<bool> tryLockFile(int fd) {
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return true;
  if (errno == EWOULDBLOCK) return false;
  return lastError("flock");
}

Result<Done> forbidCoreDumps() {
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) return lastError("prctl");
  return Done{};
}

Result<Done> sendUnixDatagram(const std::string& address, const std::string& payload,
                              std::chrono::milliseconds timeout) {
  sockaddr_un there{};
  there.sun_family = AF_UNIX;
  // A path needs room for its final zero; a name in the abstract space is as long as the address says.
  if (address.size() < 2 || address.size() >= sizeof there.sun_path) return SystemError{EINVAL, "sendto"};
  std::ranges::copy(address, there.sun_path);
  const bool is_abstract = address.front() == '@';
  if (is_abstract) there.sun_path[0] = '\0';
  const std::size_t length = offsetof(sockaddr_un, sun_path) + address.size() + (is_abstract ? 0 : 1);

  UniqueFd sender(socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!sender) return lastError("socket");
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(timeout);
  const std::chrono::microseconds rest = timeout - seconds;
  const timeval limit{seconds.count(), static_cast<suseconds_t>(rest.count())};
  if (setsockopt(sender.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit) != 0) return lastError("setsockopt");
  const ssize_t sent = sendto(sender.get(), payload.data(), payload.size(), MSG_NOSIGNAL,
                              reinterpret_cast<const sockaddr*>(&there), static_cast<socklen_t>(length));
  if (sent < 0) return lastError("sendto");
  return Done{};
}

double boottimeMs() {
  timespec now{};
  clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

}  // namespace fabric
