// See pieces.h.
#include "pieces.h"

namespace fabric::engine {

std::optional<std::vector<uint8_t>> PieceAssembly::add(const Piece& piece, uint64_t now_us) {
  expire(now_us);
  if (piece.count < 2 || piece.index >= piece.count || piece.counter < piece.index || piece.bytes.empty()) {
    drops_->count(Drop::kFragmentMalformed);
    return std::nullopt;
  }
  const auto whole = find_or_begin(piece, piece.counter - piece.index, now_us);
  if (whole->pieces.size() != piece.count || whole->bytes + piece.bytes.size() > frame_bytes_max_) {
    give_up(whole, Drop::kFragmentMalformed);
    return std::nullopt;
  }
  whole->pieces[piece.index].assign(piece.bytes.begin(), piece.bytes.end());
  whole->missing--;
  whole->bytes += piece.bytes.size();
  bytes_ += piece.bytes.size();
  if (whole->missing == 0) {
    std::vector<uint8_t> frame;
    frame.reserve(whole->bytes);
    for (const auto& bytes : whole->pieces) frame.insert(frame.end(), bytes.begin(), bytes.end());
    forget(whole);
    return frame;
  }
  while (bytes_ > kBytesMax) give_up(wholes_.begin(), Drop::kFragmentMemory);
  return std::nullopt;
}

void PieceAssembly::expire(uint64_t now_us) {
  while (!wholes_.empty() && now_us - wholes_.front().started_us > kTimeoutUs) {
    give_up(wholes_.begin(), Drop::kFragmentIncomplete);
  }
}

PieceAssembly::Wholes::iterator PieceAssembly::find_or_begin(const Piece& piece, uint64_t first_counter,
                                                             uint64_t now_us) {
  for (auto whole = wholes_.begin(); whole != wholes_.end(); ++whole) {
    if (whole->first_counter == first_counter && whole->local_index == piece.local_index) return whole;
  }
  if (wholes_.size() >= kWholesMax) give_up(wholes_.begin(), Drop::kFragmentMemory);
  wholes_.push_back({piece.local_index, first_counter, std::vector<std::vector<uint8_t>>(piece.count), now_us,
                     piece.count, 0});
  return std::prev(wholes_.end());
}

void PieceAssembly::forget(Wholes::iterator whole) {
  bytes_ -= whole->bytes;
  wholes_.erase(whole);
}

void PieceAssembly::give_up(Wholes::iterator whole, Drop reason) {
  forget(whole);
  drops_->count(reason);
}

}  // namespace fabric::engine
