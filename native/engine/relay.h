// The body of a relay datagram (docs/wire-format.md): whom it is for, whom it is from, and a whole datagram between those two. What
// a host does with one is decided as by src/router/relay-message.ts. Invariants: a datagram never goes back to whom it came from,
// and each host that passes it on takes one off its hop limit.
#pragma once

#include <optional>

#include "drops.h"
#include "path.h"
#include "wire.h"

namespace fabric::engine {

constexpr size_t kRelayHeaderBytes = 2 * sizeof(PeerId);
// What a relay adds to a datagram: a second seal, and who it is for and from.
constexpr size_t kRelayOverheadBytes = kSealBytes + kRelayHeaderBytes;

struct Relayed {
  PeerId destination{};
  PeerId source{};
  uint8_t hop_limit = kHopLimit;
  // A handshake or data datagram between the two: a view into what was read.
  MutableBytes datagram;

  // `body` is what stands behind the inner header. Nothing when it holds no datagram of ours.
  static std::optional<Relayed> read(MutableBytes body, uint8_t hop_limit) {
    if (body.size() <= kRelayHeaderBytes || hop_limit > kHopLimit) return std::nullopt;
    Relayed relayed;
    memcpy(relayed.destination.data(), body.data(), sizeof(PeerId));
    memcpy(relayed.source.data(), body.data() + sizeof(PeerId), sizeof(PeerId));
    relayed.hop_limit = hop_limit;
    relayed.datagram = body.subspan(kRelayHeaderBytes);
    const uint8_t first = relayed.datagram[0];
    if (first < kInitiationFirstByte || first > kDataFirstByte) return std::nullopt;
    return relayed;
  }
};

// Where a relayed datagram came from.
struct RelayArrival {
  // This host.
  const PeerId& self;
  // On whose session it came.
  const PeerId& from;
  // That datagram came by a relay itself.
  bool nested = false;
};

struct RelayVerdict {
  enum class Kind : uint8_t { kDeliver, kForward, kDrop };
  Kind kind = Kind::kDrop;
  Drop reason = Drop::kNone;
};

inline RelayVerdict decide_relayed(const Relayed& relayed, const RelayArrival& arrival) {
  using Kind = RelayVerdict::Kind;
  if (arrival.nested) return {Kind::kDrop, Drop::kRelayNested};
  const bool begun_elsewhere = relayed.hop_limit == kHopLimit && relayed.source != arrival.from;
  if (relayed.source == arrival.self || begun_elsewhere) return {Kind::kDrop, Drop::kRelaySource};
  if (relayed.destination == arrival.self) return {Kind::kDeliver};
  if (relayed.hop_limit == 0) return {Kind::kDrop, Drop::kHopLimitReached};
  if (relayed.destination == arrival.from) return {Kind::kDrop, Drop::kRelayUnreachable};
  return {Kind::kForward};
}

}  // namespace fabric::engine
