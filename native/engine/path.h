// Where datagrams to a peer go: to an endpoint of the underlay, or to a relay, another peer that passes them on without being able
// to read them. Invariant: a relay is itself reached at an endpoint; a relay behind a relay does not exist.
#pragma once

#include <array>
#include <variant>

#include "udp_socket.h"

namespace fabric::engine {

using PeerId = std::array<uint8_t, 16>;

struct PeerIdHash {
  size_t operator()(const PeerId& id) const { return mix(load_u64(id.data())); }
};

struct RelayPath {
  PeerId relay{};
  // Whom the relay passes datagrams on to, and from whom those come that it brings.
  PeerId peer{};

  bool operator==(const RelayPath&) const = default;
};

using Path = std::variant<Endpoint, RelayPath>;

}  // namespace fabric::engine
