// See frame.h.
#include "frame.h"

namespace fabric::engine {
namespace {

constexpr size_t kIpv6HeaderBytes = 40;
constexpr int kExtensionHeadersMax = 8;
constexpr uint8_t kHopByHop = 0;
constexpr uint8_t kRouting = 43;
constexpr uint8_t kFragment = 44;
constexpr uint8_t kAuthentication = 51;
constexpr uint8_t kDestinationOptions = 60;

bool is_extension(uint8_t protocol) {
  return protocol == kHopByHop || protocol == kRouting || protocol == kFragment || protocol == kAuthentication ||
         protocol == kDestinationOptions;
}

// AH counts in units of four bytes less two, the fragment header has eight bytes, the others count units of eight less one.
size_t extension_bytes(uint8_t protocol, uint8_t length_field) {
  if (protocol == kFragment) return 8;
  return protocol == kAuthentication ? (length_field + 2) * 4u : (length_field + 1) * 8u;
}

std::optional<UpperLayer> find_in_ipv4(const Frame& frame) {
  const uint8_t* ip = frame.data + frame.l3;
  if (frame.packet_bytes() < 20 || ip[0] >> 4 != 4) return std::nullopt;
  const size_t header_bytes = (ip[0] & 0x0f) * 4u;
  const size_t packet_bytes = load_u16(ip + 2);
  if (header_bytes < 20 || packet_bytes < header_bytes || packet_bytes > frame.packet_bytes()) return std::nullopt;
  const uint16_t flags_and_offset = load_u16(ip + 6);
  UpperLayer upper;
  upper.family = 4;
  upper.protocol = ip[9];
  upper.offset = frame.l3 + header_bytes;
  upper.end = frame.l3 + packet_bytes;
  upper.fragment = (flags_and_offset & 0x3fff) != 0;
  upper.later_fragment = (flags_and_offset & 0x1fff) != 0;
  return upper;
}

std::optional<UpperLayer> find_in_ipv6(const Frame& frame) {
  const uint8_t* ip = frame.data + frame.l3;
  if (frame.packet_bytes() < kIpv6HeaderBytes || ip[0] >> 4 != 6) return std::nullopt;
  UpperLayer upper;
  upper.family = 6;
  upper.protocol = ip[6];
  upper.offset = frame.l3 + kIpv6HeaderBytes;
  upper.end = upper.offset + load_u16(ip + 4);
  if (upper.end > frame.size) return std::nullopt;
  for (int walked = 0; walked < kExtensionHeadersMax && !upper.later_fragment; walked++) {
    if (!is_extension(upper.protocol)) break;
    if (upper.offset + 8 > upper.end) return std::nullopt;
    const uint8_t* extension = frame.data + upper.offset;
    const size_t length = extension_bytes(upper.protocol, extension[1]);
    if (upper.protocol == kFragment) {
      upper.fragment = true;
      upper.later_fragment = (load_u16(extension + 2) & 0xfff8) != 0;
    }
    upper.protocol = extension[0];
    upper.offset += length;
    if (upper.offset > upper.end) return std::nullopt;
  }
  if (is_extension(upper.protocol) && !upper.later_fragment) return std::nullopt;
  return upper;
}

}  // namespace

std::optional<Frame> Frame::read(Bytes bytes) {
  if (bytes.size() < kEthernetBytes) return std::nullopt;
  Frame frame;
  frame.data = bytes.data();
  frame.size = bytes.size();
  frame.destination = load_mac(bytes.data());
  frame.source = load_mac(bytes.data() + 6);
  size_t offset = 12;
  uint16_t type = load_u16(bytes.data() + offset);
  for (size_t tags = 0; tags < kVlanTagsMax && (type == kEtherVlan || type == kEtherServiceVlan); tags++) {
    offset += kVlanBytes;
    if (bytes.size() < offset + 2) return std::nullopt;
    type = load_u16(bytes.data() + offset);
  }
  frame.ether_type = type;
  frame.l3 = offset + 2;
  return frame;
}

std::optional<UpperLayer> find_upper_layer(const Frame& frame) {
  if (frame.ether_type == kEtherIpv4) return find_in_ipv4(frame);
  if (frame.ether_type == kEtherIpv6) return find_in_ipv6(frame);
  return std::nullopt;
}

}  // namespace fabric::engine
