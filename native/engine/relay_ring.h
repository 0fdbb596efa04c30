// Relayed datagrams on their way from the receive lane, which opened what was around them, to the send lane, which alone gives out
// the counters of what they leave in. One thread puts in and one takes out, at the same time, and neither locks or waits.
// Invariant: bounded in bytes, thereby in datagrams; what finds no room is refused whole.
#pragma once

#include <algorithm>
#include <atomic>
#include <memory>

#include "relay.h"
#include "table.h"

namespace fabric::engine {

class RelayRing {
 public:
  // From whom it came, and what it was.
  struct Passage {
    PeerNumber from = 0;
    Relayed relayed;
  };

  RelayRing() : bytes_(new uint8_t[kBytes]) {}

  bool empty() const { return put_.load(std::memory_order_acquire) == taken_.load(std::memory_order_relaxed); }

  // Of the receive lane. Copies the datagram. False when there is no room.
  bool put(const Passage& passage) {
    const Relayed& relayed = passage.relayed;
    const uint64_t start = put_.load(std::memory_order_relaxed);
    const size_t bytes = entry_bytes(relayed.datagram.size());
    const size_t to_end = kBytes - start % kBytes;
    // An entry lies in one piece: what is left over at the end and too small is skipped.
    const size_t skipped = bytes > to_end ? to_end : 0;
    if (start + skipped + bytes - taken_.load(std::memory_order_acquire) > kBytes) return false;
    if (skipped > 0) write_header(start, {kSkip});
    const uint64_t at = start + skipped;
    write_header(at, {static_cast<uint32_t>(relayed.datagram.size()), passage.from, relayed.hop_limit,
                      relayed.destination, relayed.source});
    std::copy(relayed.datagram.begin(), relayed.datagram.end(), body(at));
    put_.store(at + bytes, std::memory_order_release);
    return true;
  }

  // Of the send lane. Hands over what is there now, in order, while `take` wants more; a passage is valid within its call only.
  template <typename Take>
  void take_while(Take&& take) {
    const uint64_t end = put_.load(std::memory_order_acquire);
    bool wanted = true;
    for (uint64_t at = taken_.load(std::memory_order_relaxed); wanted && at != end;) {
      Header header;
      memcpy(&header, place(at), sizeof header);
      if (header.datagram_bytes == kSkip) {
        at += kBytes - at % kBytes;
        continue;
      }
      wanted = take(Passage{
          header.from, {header.destination, header.source, header.hop_limit, MutableBytes(body(at), header.datagram_bytes)}});
      at += entry_bytes(header.datagram_bytes);
      taken_.store(at, std::memory_order_release);
    }
  }

 private:
  // Our tuning: a burst waits here while the send lane is busy. Much more than a turn of the receive lane brings, so that one
  // thread for both lanes meets no full ring.
  static constexpr size_t kBytes = 4 << 20;
  static constexpr uint32_t kSkip = UINT32_MAX;
  static constexpr size_t kCacheLineBytes = 64;

  struct Header {
    uint32_t datagram_bytes = 0;
    PeerNumber from = 0;
    uint8_t hop_limit = 0;
    PeerId destination{};
    PeerId source{};
  };
  // Entries begin at multiples of the header's size, so that one always fits in front of the end.
  static constexpr size_t kUnitBytes = kCacheLineBytes;
  static_assert(sizeof(Header) <= kUnitBytes && kBytes % kUnitBytes == 0);

  static size_t entry_bytes(size_t datagram_bytes) {
    return (sizeof(Header) + datagram_bytes + kUnitBytes - 1) / kUnitBytes * kUnitBytes;
  }
  uint8_t* place(uint64_t at) { return bytes_.get() + at % kBytes; }
  uint8_t* body(uint64_t at) { return place(at) + sizeof(Header); }
  void write_header(uint64_t at, const Header& header) { memcpy(place(at), &header, sizeof header); }

  std::unique_ptr<uint8_t[]> bytes_;
  // How many bytes were ever put in, and taken out: each is written by one thread, hence on a cache line of its own.
  alignas(kCacheLineBytes) std::atomic<uint64_t> put_{0};
  alignas(kCacheLineBytes) std::atomic<uint64_t> taken_{0};
};

}  // namespace fabric::engine
