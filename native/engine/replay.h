// The anti-replay window of one session: which of the last 8192 counters were seen (RFC 6479's bitmap ring). A counter is only
// marked after its datagram was authenticated. Belongs to one thread: a session's datagrams are received by one lane only.
#pragma once

#include <algorithm>
#include <cstdint>

namespace fabric::engine {

class ReplayWindow {
 public:
  static constexpr uint64_t kWindow = 8192;
  enum class Verdict { kFresh, kReplayed, kTooOld };

  Verdict check(uint64_t counter) const {
    if (counter >= next_) return Verdict::kFresh;
    if (next_ - 1 - counter >= kWindow) return Verdict::kTooOld;
    return (word(counter) >> counter % kWordBits & 1) == 0 ? Verdict::kFresh : Verdict::kReplayed;
  }

  // True when this is the highest counter so far, which alone may move the peer's endpoint.
  bool mark(uint64_t counter) {
    const bool highest = counter >= next_;
    if (highest) {
      // Words between the newest one so far and this one belong to counters a whole ring ago.
      const uint64_t current = next_ == 0 ? 0 : (next_ - 1) / kWordBits;
      const uint64_t cleared = std::min<uint64_t>(counter / kWordBits - current, kWords);
      for (uint64_t i = 1; i <= cleared; i++) ring_[(current + i) % kWords] = 0;
      next_ = counter + 1;
    }
    word(counter) |= uint64_t{1} << counter % kWordBits;
    return highest;
  }

 private:
  static constexpr uint64_t kWordBits = 64;
  // A power of two above the window's words plus one: a word is cleared before the window enters it.
  static constexpr uint64_t kWords = 256;

  uint64_t& word(uint64_t counter) { return ring_[counter / kWordBits % kWords]; }
  uint64_t word(uint64_t counter) const { return ring_[counter / kWordBits % kWords]; }

  uint64_t ring_[kWords] = {};
  // The highest counter marked, plus one.
  uint64_t next_ = 0;
};

}  // namespace fabric::engine
