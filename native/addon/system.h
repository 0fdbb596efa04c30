// Single system calls that Node does not offer: sysctls and offloads inside a namespace, credentials, segment sizes, locks, datagrams
// to unix sockets, the boot clock.
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "result.h"

namespace fabric {

/** /proc/sys/net is resolved by the network namespace of the task that opens the file. */
Result<std::string> readSysctl(const std::string& path, int namespaceFd);
Result<Done> writeSysctl(const std::string& path, const std::string& value, int namespaceFd);

struct SysctlSetting {
  std::string path;
  std::string value;
};
using SysctlSettings = std::vector<SysctlSetting>;
/** In order, up to the first that fails; keys that are not there are passed over. One visit to the namespace for all. */
Result<Done> writeSysctls(const SysctlSettings& settings, int namespaceFd);

/** An ETHTOOL_G* or ETHTOOL_S* command that carries one number. */
struct EthtoolValue {
  std::uint32_t command;
  std::uint32_t value;
};
/** Runs the commands in order up to the first that fails; returns their values. */
Result<std::vector<EthtoolValue>> ethtoolValues(const std::string& ifname, std::vector<EthtoolValue> commands,
                                                int namespaceFd);

Result<ucred> peerCredentials(int fd);
/** TCP_MAXSEG: on a listening socket it holds for both directions of each connection. */
Result<Done> limitTcpSegments(int fd, int bytes);
/** False when another open file description holds the lock. */
Result<bool> tryLockFile(int fd);
Result<Done> forbidCoreDumps();
/**
 * One datagram to the unix socket at `address`, a path or, behind an @, a name in the abstract space (unix(7)). Waits for at most
 * `timeout` where the receiver's queue is full.
 */
Result<Done> sendUnixDatagram(const std::string& address, const std::string& payload, std::chrono::milliseconds timeout);
double boottimeMs();

}  // namespace fabric
