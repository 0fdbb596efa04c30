// One ICMP echo request that no router may cut, and what became of it: how large a packet the path to an address carries, as
// far as the path answers at all. RFC 792, RFC 4443; the kernel's error queue (ip(7), IP_RECVERR) tells what routers said.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

#include "result.h"

namespace fabric {

enum class EchoOutcome { Reply, TooBig, Unreachable, Silent };

struct EchoResult {
  EchoOutcome outcome;
  /** Reply: round trip. */
  double rtt_ms;
  /** TooBig: the largest packet in bytes that fits, as a router or our own interface says. */
  std::uint32_t mtu;
};

/**
 * Blocks for up to `timeout`. `packet_bytes` counts the IP header; less than an empty request makes one of that size. EINVAL when
 * `address` is none, EPERM without CAP_NET_RAW.
 */
Result<EchoResult> echo(const std::string& address, std::uint32_t packet_bytes, std::chrono::milliseconds timeout);

}  // namespace fabric
