// The answer to a packet that exceeds the overlay MTU (RFC 1191, 792; RFC 4443 §3.2), as src/router/frame-too-big.ts builds
// it. Never an answer to an answer: RFC 1122 §3.2.2 and RFC 4443 §2.4(e).
#include <algorithm>

#include "checksum.h"
#include "forwarding.h"

namespace fabric::engine {
namespace {

// RFC 1812 §4.3.2.3: as much as fits 576 bytes; RFC 4443 §2.4(c): as much as fits the minimum IPv6 MTU.
constexpr size_t kAnswer4Max = 576;
constexpr size_t kAnswer6Max = 1280;

bool is_error(const Frame& frame, const UpperLayer& upper) {
  if (upper.size() == 0) return false;
  const uint8_t type = frame.data[upper.offset];
  if (upper.protocol == kProtocolIcmpv6) return type < 128 || type == 137;
  return upper.protocol == kProtocolIcmp && (type == 3 || type == 4 || type == 5 || type == 11 || type == 12);
}

// One host: not this-network, loopback, multicast, reserved or broadcast.
bool is_host4(const uint8_t* ip) { return ip[0] != 0 && ip[0] != 127 && ip[0] < 224; }

// Neither multicast nor unspecified.
bool is_host6(const uint8_t* ip) { return ip[0] != 0xff && !Ip::read(ip, 6).unspecified(); }

// Back to the sender, with its tags and type.
std::vector<uint8_t> answer_of(const Frame& frame, size_t packet_bytes) {
  std::vector<uint8_t> answer(frame.l3 + packet_bytes);
  memcpy(answer.data(), frame.data, frame.l3);
  store_mac(answer.data(), frame.source);
  store_mac(answer.data() + 6, frame.destination);
  return answer;
}

std::vector<uint8_t> answer_ipv4(const Frame& frame, const UpperLayer& upper, size_t mtu) {
  const uint8_t* packet = frame.data + frame.l3;
  if (!is_host4(packet + 12) || !is_host4(packet + 16)) return {};
  const size_t quoted = std::min(upper.end - frame.l3, kAnswer4Max - 28);
  auto answer = answer_of(frame, 28 + quoted);
  uint8_t* ip = answer.data() + frame.l3;
  ip[0] = 0x45;
  store_u16(ip + 2, 28 + quoted);
  ip[8] = 64;
  ip[9] = kProtocolIcmp;
  memcpy(ip + 12, packet + 16, 4);
  memcpy(ip + 16, packet + 12, 4);
  store_u16(ip + 10, checksum16(Bytes(ip, 20)));
  uint8_t* icmp = ip + 20;
  icmp[0] = 3;
  icmp[1] = 4;
  store_u16(icmp + 6, std::min<size_t>(mtu, 0xffff));
  memcpy(icmp + 8, packet, quoted);
  store_u16(icmp + 2, checksum16(Bytes(icmp, 8 + quoted)));
  return answer;
}

std::vector<uint8_t> answer_ipv6(const Frame& frame, const UpperLayer& upper, size_t mtu) {
  const uint8_t* packet = frame.data + frame.l3;
  if (!is_host6(packet + 8) || !is_host6(packet + 24)) return {};
  const size_t quoted = std::min(upper.end - frame.l3, kAnswer6Max - 48);
  auto answer = answer_of(frame, 48 + quoted);
  uint8_t* ip = answer.data() + frame.l3;
  ip[0] = 0x60;
  store_u16(ip + 4, 8 + quoted);
  ip[6] = kProtocolIcmpv6;
  ip[7] = 64;
  memcpy(ip + 8, packet + 24, 16);
  memcpy(ip + 24, packet + 8, 16);
  uint8_t* icmp = ip + 40;
  icmp[0] = 2;
  store_u32(icmp + 4, static_cast<uint32_t>(mtu));
  memcpy(icmp + 8, packet, quoted);
  store_u16(icmp + 2, checksum16(Bytes(icmp, 8 + quoted), pseudo_sum(ip, 6, kProtocolIcmpv6, 8 + quoted)));
  return answer;
}

}  // namespace

std::vector<uint8_t> answer_too_big(const Frame& frame, size_t mtu) {
  if (frame.to_group()) return {};
  const auto upper = find_upper_layer(frame);
  if (!upper || upper->later_fragment || is_error(frame, *upper)) return {};
  return upper->family == 4 ? answer_ipv4(frame, *upper, mtu) : answer_ipv6(frame, *upper, mtu);
}

}  // namespace fabric::engine
