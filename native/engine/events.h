// What the lanes tell the control thread. Implementations are called on the lanes' threads and must not wait.
#pragma once

#include <optional>

#include "path.h"
#include "table.h"

namespace fabric::engine {

class Events {
 public:
  virtual ~Events() = default;
  virtual void handshake(Bytes datagram, const Path& from) = 0;
  virtual void session_wanted(const PeerId& peer) = 0;
  // What is relayed lacks a direct session with this peer.
  virtual void relay_wanted(const PeerId& peer) = 0;
  virtual void session_confirmed(uint32_t local_index) = 0;
  // The peer was heard from another endpoint; datagrams to it already go there.
  virtual void roamed(const PeerId& peer, const Endpoint& endpoint) = 0;
  // The peer asks whether its outer IP packet of `bytes` arrived.
  virtual void probed(PeerNumber peer, uint16_t bytes) = 0;
  // A probe of ours arrived at the peer.
  virtual void probe_answered(const PeerId& peer, uint16_t bytes) = 0;
  virtual void session_exhausted(uint32_t local_index) = 0;
  virtual void learned(uint32_t network, Mac mac, const std::optional<Ip>& ip) = 0;
  virtual void failed(const std::string& reason) = 0;
};

}  // namespace fabric::engine
