// Network byte order, and the two address types of the engine: MACs as numbers (hash keys that cost no allocation) and IP
// addresses as sixteen bytes with a family. All reads are by the caller's bounds.
#pragma once

#include <cstdint>
#include <cstring>
#include <functional>
#include <span>
#include <vector>

namespace fabric::engine {

using Bytes = std::span<const uint8_t>;
using MutableBytes = std::span<uint8_t>;

inline uint16_t load_u16(const uint8_t* from) { return static_cast<uint16_t>(from[0] << 8 | from[1]); }
inline uint32_t load_u24(const uint8_t* from) { return static_cast<uint32_t>(from[0]) << 16 | load_u16(from + 1); }
inline uint32_t load_u32(const uint8_t* from) {
  return static_cast<uint32_t>(load_u16(from)) << 16 | load_u16(from + 2);
}
inline uint64_t load_u64(const uint8_t* from) {
  return static_cast<uint64_t>(load_u32(from)) << 32 | load_u32(from + 4);
}

inline void store_u16(uint8_t* to, uint64_t value) {
  to[0] = static_cast<uint8_t>(value >> 8);
  to[1] = static_cast<uint8_t>(value);
}
inline void store_u24(uint8_t* to, uint32_t value) {
  to[0] = static_cast<uint8_t>(value >> 16);
  store_u16(to + 1, value & 0xffff);
}
inline void store_u32(uint8_t* to, uint32_t value) {
  store_u16(to, value >> 16);
  store_u16(to + 2, value & 0xffff);
}
inline void store_u64(uint8_t* to, uint64_t value) {
  store_u32(to, static_cast<uint32_t>(value >> 32));
  store_u32(to + 4, static_cast<uint32_t>(value));
}

// The six octets as a number, the first one highest.
using Mac = uint64_t;
inline Mac load_mac(const uint8_t* from) { return static_cast<Mac>(load_u16(from)) << 32 | load_u32(from + 2); }
inline void store_mac(uint8_t* to, Mac mac) {
  store_u16(to, mac >> 32);
  store_u32(to + 2, static_cast<uint32_t>(mac));
}
// Broadcast or multicast (IEEE 802 I/G bit).
inline bool is_group(Mac mac) { return (mac >> 40 & 1) != 0; }

// IPv4 in the first four bytes, the rest zero.
struct Ip {
  uint8_t family = 0;
  uint8_t bytes[16] = {};

  static Ip read(const uint8_t* from, uint8_t family) {
    Ip ip;
    ip.family = family;
    memcpy(ip.bytes, from, ip.length());
    return ip;
  }
  size_t length() const { return family == 4 ? 4 : 16; }
  bool unspecified() const {
    static constexpr uint8_t kZero[16] = {};
    return memcmp(bytes, kZero, sizeof bytes) == 0;
  }
  bool operator==(const Ip& other) const {
    return family == other.family && memcmp(bytes, other.bytes, sizeof bytes) == 0;
  }
};

// Fibonacci hashing: the tables hold what the control plane authenticated, so nobody chooses keys to collide.
inline size_t mix(uint64_t value) { return static_cast<size_t>((value ^ value >> 29) * 0x9e3779b97f4a7c15u >> 7); }

struct MacHash {
  size_t operator()(Mac mac) const { return mix(mac); }
};
struct IpHash {
  size_t operator()(const Ip& ip) const { return mix(load_u64(ip.bytes) ^ mix(load_u64(ip.bytes + 8) + ip.family)); }
};

}  // namespace fabric::engine
