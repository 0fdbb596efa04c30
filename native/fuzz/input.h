// Reads a fuzz target's decisions and bytes off libFuzzer's input, one behind the other; what is not there is zero or empty.
// `require` is how a target states what must hold for all input.
#pragma once

#include <algorithm>
#include <cstdlib>

#include "../engine/bytes.h"

namespace fabric::fuzz {

// Ends the process, so that libFuzzer keeps the input.
inline void require(bool property) {
  if (!property) abort();
}

class Input {
 public:
  Input(const uint8_t* data, size_t size) : rest_(data, size) {}

  bool empty() const { return rest_.empty(); }

  uint8_t u8() {
    const auto bytes = take(1);
    return bytes.empty() ? 0 : bytes[0];
  }
  uint16_t u16() {
    const uint8_t high = u8();
    return static_cast<uint16_t>(high << 8 | u8());
  }
  uint64_t u64() {
    uint64_t value = 0;
    for (int i = 0; i < 8; i++) value = value << 8 | u8();
    return value;
  }
  // At most this many.
  engine::Bytes take(size_t bytes) {
    const auto taken = rest_.first(std::min(bytes, rest_.size()));
    rest_ = rest_.subspan(taken.size());
    return taken;
  }
  // Two bytes of length, and so many bytes.
  engine::Bytes blob() { return take(u16()); }
  engine::Bytes all() { return take(rest_.size()); }

 private:
  engine::Bytes rest_;
};

}  // namespace fabric::fuzz
