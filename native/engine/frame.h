// A view of one Ethernet frame (IEEE 802.3, 802.1Q) and of the upper-layer header of its packet: src/router/frame.ts and
// frame-upper-layer.ts say the rules, and a differential test compares. It borrows the bytes.
#pragma once

#include <optional>

#include "bytes.h"

namespace fabric::engine {

constexpr size_t kEthernetBytes = 14;
constexpr size_t kVlanBytes = 4;
constexpr size_t kVlanTagsMax = 2;

constexpr uint16_t kEtherIpv4 = 0x0800;
constexpr uint16_t kEtherArp = 0x0806;
constexpr uint16_t kEtherIpv6 = 0x86dd;
constexpr uint16_t kEtherVlan = 0x8100;
constexpr uint16_t kEtherServiceVlan = 0x88a8;

constexpr uint8_t kProtocolIcmp = 1;
constexpr uint8_t kProtocolTcp = 6;
constexpr uint8_t kProtocolUdp = 17;
constexpr uint8_t kProtocolIcmpv6 = 58;

struct Frame {
  const uint8_t* data = nullptr;
  size_t size = 0;
  Mac destination = 0;
  Mac source = 0;
  // Behind the VLAN tags.
  uint16_t ether_type = 0;
  // Where the packet (L3) starts.
  size_t l3 = 0;

  // Nothing when there is no complete Ethernet header.
  static std::optional<Frame> read(Bytes bytes);

  // Ethernet padding included.
  size_t packet_bytes() const { return size - l3; }
  bool to_group() const { return is_group(destination); }
  // A group or all-zero source: no station sends so.
  bool source_invalid() const { return is_group(source) || source == 0; }
  // 01:80:c2:00:00:00 to 0f: link-local protocols that a bridge never forwards (802.1D 7.12.6).
  bool to_reserved_group() const { return (destination & ~Mac{0x0f}) == 0x0180c2000000; }
};

struct UpperLayer {
  uint8_t family = 0;
  uint8_t protocol = 0;
  // First byte in the frame; of a later fragment somewhere in the middle of the upper layer.
  size_t offset = 0;
  // One past the packet's last byte in the frame.
  size_t end = 0;
  bool fragment = false;
  bool later_fragment = false;

  size_t size() const { return end - offset; }
};

// Nothing when the frame holds no IP packet, or a malformed one.
std::optional<UpperLayer> find_upper_layer(const Frame& frame);

}  // namespace fabric::engine
