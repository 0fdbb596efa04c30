// Reassembly of the frames that one peer sent in pieces, because they were larger than the path. All pieces of a frame have
// consecutive counters, so that counter - index names it. Limits and reasons are those of src/router/pieces.ts.
#pragma once

#include <list>
#include <optional>
#include <vector>

#include "drops.h"
#include "wire.h"

namespace fabric::engine {

struct Piece {
  uint32_t local_index = 0;
  uint64_t counter = 0;
  uint8_t index = 0;
  uint8_t count = 0;
  Bytes bytes;
};

class PieceAssembly {
 public:
  PieceAssembly(size_t frame_bytes_max, DropCounts* drops) : frame_bytes_max_(frame_bytes_max), drops_(drops) {}

  // The whole frame once its last piece is there. Counters arrive at most once (replay window). Copies the bytes.
  std::optional<std::vector<uint8_t>> add(const Piece& piece, uint64_t now_us);

  // Gives up what waits too long.
  void expire(uint64_t now_us);

  bool empty() const { return wholes_.empty(); }

 private:
  static constexpr size_t kWholesMax = 32;
  static constexpr size_t kBytesMax = 256 * 1024;
  static constexpr uint64_t kTimeoutUs = 1'000'000;

  struct Whole {
    uint32_t local_index;
    uint64_t first_counter;
    std::vector<std::vector<uint8_t>> pieces;
    uint64_t started_us;
    size_t missing;
    size_t bytes;
  };
  using Wholes = std::list<Whole>;

  Wholes::iterator find_or_begin(const Piece& piece, uint64_t first_counter, uint64_t now_us);
  void forget(Wholes::iterator whole);
  void give_up(Wholes::iterator whole, Drop reason);

  size_t frame_bytes_max_;
  DropCounts* drops_;
  // In order of their first piece.
  Wholes wholes_;
  size_t bytes_ = 0;
};

// How many pieces of at most `piece_max` bytes a frame needs; 0 when that is more than index and count can say.
inline size_t piece_count(size_t frame_bytes, size_t piece_max) {
  const size_t count = (frame_bytes + piece_max - 1) / piece_max;
  return count > kPiecesMax ? 0 : count;
}

}  // namespace fabric::engine
