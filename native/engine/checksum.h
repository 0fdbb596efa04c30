// The Internet checksum (RFC 1071) with the pseudo-headers of IPv4 and IPv6, as src/router/checksum.ts.
#pragma once

#include "frame.h"

namespace fabric::engine {

// The folded one's complement sum of 16-bit words, not complemented; an odd last byte counts as the high one.
uint16_t sum16(Bytes bytes, uint64_t initial = 0);

// The checksum to store over bytes whose own field is zero.
inline uint16_t checksum16(Bytes bytes, uint64_t initial = 0) { return static_cast<uint16_t>(~sum16(bytes, initial)); }

// Of the addresses of the packet at `l3`, protocol and an upper layer of `upper_bytes`.
uint16_t pseudo_sum(const uint8_t* packet, uint8_t family, uint8_t protocol, size_t upper_bytes);

// Where in the frame the TCP or UDP checksum stands; 0 when there is none (no TCP or UDP, or cut short).
size_t checksum_field(const UpperLayer& upper);

// Computes the TCP or UDP checksum of the frame's outer packet anew, in place. False, and nothing changed, when there is
// none to complete: no TCP or UDP, a fragment, or lengths that contradict each other.
bool complete_checksum(MutableBytes frame);

}  // namespace fabric::engine
