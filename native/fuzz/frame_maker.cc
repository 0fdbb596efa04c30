// See frame_maker.h.
#include "frame_maker.h"

#include "../engine/wire.h"

namespace fabric::fuzz {
namespace {

using engine::store_mac;
using engine::store_u16;
using engine::store_u32;

constexpr size_t kIpv4Bytes = 20;
constexpr size_t kIpv6Bytes = 40;
constexpr size_t kTcpBytes = 20;
constexpr uint8_t kVlanTag[4] = {0x81, 0, 0, 7};

engine::Mac choose_mac(Input& input, engine::Mac usual) {
  switch (input.u8() % 8) {
    case 1:
      return kLocalMac;
    case 2:
      return kPeerMacs[0];
    case 3:
      return kPeerMacs[1];
    case 4:
      return 0xffffffffffff;
    case 5:
      return kGatewayMac;
    case 6:
      return input.u64() & 0xffffffffffff;
    default:
      return usual;
  }
}

void append(Frame& frame, engine::Bytes bytes) { frame.insert(frame.end(), bytes.begin(), bytes.end()); }

// The L4 header and payload: `kind` even is TCP, odd UDP. Lengths are true.
Frame make_upper(uint8_t kind, Input& input) {
  const bool tcp = kind % 2 == 0;
  Frame upper(tcp ? kTcpBytes : engine::kUdpBytes);
  store_u16(upper.data(), 1000 + input.u8() % 4);
  store_u16(upper.data() + 2, 80);
  if (tcp) {
    store_u32(upper.data() + 4, input.u16());
    upper[12] = static_cast<uint8_t>((5 + input.u8() % 3) << 4);
    upper[13] = input.u8();
  }
  append(upper, input.blob());
  if (!tcp) store_u16(upper.data() + 4, upper.size());
  return upper;
}

void append_ipv4(Frame& frame, uint8_t protocol, engine::Bytes upper, Input& input) {
  const size_t at = frame.size();
  frame.resize(at + kIpv4Bytes);
  uint8_t* ip = frame.data() + at;
  ip[0] = 0x45;
  store_u16(ip + 2, kIpv4Bytes + upper.size());
  store_u16(ip + 4, input.u8());
  store_u16(ip + 6, input.u8() % 4 == 1 ? input.u16() : 0);
  ip[8] = 64;
  ip[9] = protocol;
  memcpy(ip + 12, kLocalIp, 4);
  memcpy(ip + 16, kPeerIp, 4);
  append(frame, upper);
}

void append_ipv6(Frame& frame, uint8_t protocol, engine::Bytes upper) {
  const size_t at = frame.size();
  frame.resize(at + kIpv6Bytes);
  uint8_t* ip = frame.data() + at;
  ip[0] = 0x60;
  store_u16(ip + 4, upper.size());
  ip[6] = protocol;
  ip[7] = 255;
  memcpy(ip + 8, kLocalIp6, 16);
  memcpy(ip + 24, kPeerIp6, 16);
  append(frame, upper);
}

void append_arp(Frame& frame, Input& input) {
  const uint8_t fixed[8] = {0, 1, 8, 0, 6, 4, 0, static_cast<uint8_t>(1 + input.u8() % 2)};
  append(frame, fixed);
  const size_t at = frame.size();
  frame.resize(at + 20);
  store_mac(frame.data() + at, choose_mac(input, kLocalMac));
  const uint8_t* const addresses[] = {kLocalIp, kPeerIp, kGatewayIp};
  memcpy(frame.data() + at + 6, addresses[input.u8() % 3], 4);
  memcpy(frame.data() + at + 16, addresses[input.u8() % 3], 4);
}

// Router and neighbour messages (types 133 to 137) with arbitrary options.
Frame make_discovery(Input& input) {
  Frame icmp(24);
  icmp[0] = static_cast<uint8_t>(133 + input.u8() % 5);
  memcpy(icmp.data() + 8, input.u8() % 2 == 0 ? kPeerIp6 : kLocalIp6, 16);
  append(icmp, input.blob());
  return icmp;
}

}  // namespace

Frame make_frame(Input& input, engine::Mac from, engine::Mac to) {
  const uint8_t kind = input.u8() % 9;
  if (kind == 0) {
    const auto bytes = input.blob();
    return {bytes.begin(), bytes.end()};
  }
  Frame frame(12);
  store_mac(frame.data(), choose_mac(input, to));
  store_mac(frame.data() + 6, choose_mac(input, from));
  for (int tags = input.u8() % 4; tags > 1; tags--) append(frame, kVlanTag);
  constexpr uint16_t kTypes[9] = {0, 0x0800, 0x0800, 0x86dd, 0x86dd, 0x0806, 0x86dd, 0x0800, 0x86dd};
  frame.resize(frame.size() + 2);
  store_u16(frame.data() + frame.size() - 2, kTypes[kind]);
  switch (kind) {
    case 1:
    case 2:
      append_ipv4(frame, kind == 2 ? engine::kProtocolTcp : engine::kProtocolUdp, make_upper(kind, input), input);
      break;
    case 3:
    case 4:
      append_ipv6(frame, kind == 4 ? engine::kProtocolTcp : engine::kProtocolUdp, make_upper(kind, input));
      break;
    case 5:
      append_arp(frame, input);
      break;
    case 6:
      append_ipv6(frame, engine::kProtocolIcmpv6, make_discovery(input));
      break;
    default:
      // Any packet with an EtherType of IP: extension headers, options, lies about lengths.
      append(frame, input.blob());
  }
  return frame;
}

}  // namespace fabric::fuzz
