// The virtio-net header that precedes each frame on a TAP with IFF_VNET_HDR: which checksum is unfinished and how the frame is
// to be segmented. A copy of linux/virtio_net.h's struct, because that file does not compile as C++. Native byte order.
#pragma once

#include <cstdint>

namespace fabric::engine {

struct VnetHeader {
  uint8_t flags = 0;
  uint8_t gso_type = 0;
  // A hint only: all headers' bytes.
  uint16_t hdr_len = 0;
  // Payload of each segment.
  uint16_t gso_size = 0;
  uint16_t csum_start = 0;
  // From csum_start.
  uint16_t csum_offset = 0;
};
static_assert(sizeof(VnetHeader) == 10);

constexpr uint8_t kVnetNeedsChecksum = 1;
constexpr uint8_t kGsoNone = 0;
constexpr uint8_t kGsoTcp4 = 1;
constexpr uint8_t kGsoTcp6 = 4;
constexpr uint8_t kGsoUdp = 5;
// Set beside kGsoTcp4 and kGsoTcp6.
constexpr uint8_t kGsoEcn = 0x80;

}  // namespace fabric::engine
