// See checksum.h.
#include "checksum.h"

namespace fabric::engine {

uint16_t sum16(Bytes bytes, uint64_t initial) {
  uint64_t sum = initial;
  size_t i = 0;
  for (; i + 4 <= bytes.size(); i += 4) sum += load_u32(bytes.data() + i);
  for (; i + 2 <= bytes.size(); i += 2) sum += load_u16(bytes.data() + i);
  if (i < bytes.size()) sum += static_cast<uint64_t>(bytes[i]) << 8;
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16);
  return static_cast<uint16_t>(sum);
}

uint16_t pseudo_sum(const uint8_t* packet, uint8_t family, uint8_t protocol, size_t upper_bytes) {
  const Bytes addresses = family == 4 ? Bytes(packet + 12, 8) : Bytes(packet + 8, 32);
  return sum16(addresses, upper_bytes + protocol);
}

size_t checksum_field(const UpperLayer& upper) {
  if (upper.protocol == kProtocolTcp && upper.size() >= 20) return upper.offset + 16;
  if (upper.protocol == kProtocolUdp && upper.size() >= 8) return upper.offset + 6;
  return 0;
}

bool complete_checksum(MutableBytes bytes) {
  const auto frame = Frame::read(bytes);
  if (!frame) return false;
  const auto upper = find_upper_layer(*frame);
  if (!upper || upper->fragment) return false;
  const size_t field = checksum_field(*upper);
  if (field == 0) return false;
  store_u16(bytes.data() + field, 0);
  const uint16_t pseudo = pseudo_sum(frame->data + frame->l3, upper->family, upper->protocol, upper->size());
  const uint16_t value = checksum16(bytes.subspan(upper->offset, upper->size()), pseudo);
  // A computed zero means "no checksum" in UDP and is sent as its other representation (RFC 768).
  store_u16(bytes.data() + field, value == 0 && upper->protocol == kProtocolUdp ? 0xffff : value);
  return true;
}

}  // namespace fabric::engine
