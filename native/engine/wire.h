// The data datagrams of docs/wire-format.md; src/router/wire-format.ts is the same in TypeScript and says what the fields are.
#pragma once

#include "bytes.h"

namespace fabric::engine {

constexpr size_t kOuterBytes = 16;
constexpr size_t kInnerBytes = 8;
constexpr size_t kTagBytes = 16;
constexpr size_t kSealBytes = kOuterBytes + kInnerBytes + kTagBytes;
constexpr size_t kUdpBytes = 8;
constexpr uint8_t kWireVersion = 1;
constexpr uint8_t kInitiationFirstByte = kWireVersion << 4 | 1;
constexpr uint8_t kDataFirstByte = kWireVersion << 4 | 4;
// Of any handshake datagram, as HANDSHAKE_BYTES_MAX in src/router.
constexpr size_t kHandshakeBytesMax = 1200;
constexpr uint8_t kHopLimit = 8;
constexpr size_t kPiecesMax = 255;
// The body of a probe that says its size and nothing more.
constexpr size_t kProbeBytesMin = 2;
// As SEND_COUNTER_MAX and the counter's limit in src/router.
constexpr uint64_t kSendCounterMax = uint64_t{1} << 31;
constexpr uint64_t kCounterMax = (uint64_t{1} << 53) - 1;

enum class Kind : uint8_t { kKeepalive = 0, kFrame = 1, kSegment = 2, kFragment = 3, kRelay = 4, kProbe = 5, kProbeAnswer = 6 };

constexpr uint8_t kFlagPartialChecksum = 0x01;
constexpr uint8_t kKnownFlags = kFlagPartialChecksum;

// What IP, UDP and fabric put around a frame, in bytes.
constexpr size_t overhead_bytes(bool ipv4) { return (ipv4 ? 20 : 40) + kUdpBytes + kSealBytes; }

struct Inner {
  uint8_t kind = 0;
  uint8_t hop_limit = kHopLimit;
  uint8_t flags = 0;
  uint32_t network = 0;
  uint8_t index = 0;
  uint8_t count = 1;
  uint8_t header_length = 0;
};

inline void write_outer(uint8_t* to, uint32_t receiver_index, uint64_t counter) {
  store_u32(to, static_cast<uint32_t>(kDataFirstByte) << 24);
  store_u32(to + 4, receiver_index);
  store_u64(to + 8, counter);
}

inline void write_inner(uint8_t* to, const Inner& inner) {
  to[0] = static_cast<uint8_t>(inner.kind << 4 | inner.hop_limit);
  to[1] = inner.flags;
  store_u24(to + 2, inner.network);
  to[5] = inner.index;
  to[6] = inner.count;
  to[7] = inner.header_length;
}

// False when it is too short, has unknown flags, or index is not below count.
inline bool read_inner(Bytes plain, Inner* inner) {
  if (plain.size() < kInnerBytes) return false;
  inner->kind = plain[0] >> 4;
  inner->hop_limit = plain[0] & 0x0f;
  inner->flags = plain[1];
  inner->network = load_u24(plain.data() + 2);
  inner->index = plain[5];
  inner->count = plain[6];
  inner->header_length = plain[7];
  return (inner->flags & ~kKnownFlags) == 0 && inner->index < inner->count;
}

}  // namespace fabric::engine
