// What a lane of the engine works on, with the other ends in the hands of a fuzz target: a port that is a socket pair, and the
// tunnels' UDP socket on the loopback of a network namespace that only this process has, so that nothing leaves it.
//
//   target ─ Wire (UDP on 127.0.0.1) ─ lane ─ PortPair ─ target
#pragma once

#include "../engine/receive_lane.h"
#include "../engine/send_lane.h"
#include "frame_maker.h"

namespace fabric::fuzz {

constexpr size_t kMtu = 1418;
constexpr uint64_t kStartUs = 1'000'000'000;
constexpr uint8_t kSendKey[engine::kKeyBytes] = {1};
constexpr uint8_t kReceiveKey[engine::kKeyBytes] = {2};
constexpr engine::PeerId kSelf = {0xa};
constexpr engine::PeerId kPeerIds[2] = {{0xb}, {0xc}};

// Moves the process to a network namespace of its own, whose loopback is up. Ends the process when that is not possible.
void enter_empty_network();

// AES-256-GCM. Made once per key, because OpenSSL takes longer for that than the lanes for an input.
std::shared_ptr<engine::Sealer> sealer(engine::Bytes key);
std::shared_ptr<engine::Opener> opener(engine::Bytes key);

engine::NetworkFacts network_facts();
// The MACs of frame_maker.h: the peers' to peers 0 and 1, who get floods.
void fill(engine::Table& table);

class PortPair {
 public:
  explicit PortPair(const engine::Port::Features& features);

  engine::Port& port() { return port_; }
  // The bridge's side; `bytes` begin with a virtio-net header where the port has one.
  void enter(engine::Bytes bytes) const;
  // What the lane wrote next, header included; nothing when there is no more. `buffer` has engine::kPortBufferBytes.
  std::optional<engine::Bytes> leave(engine::MutableBytes buffer) const;

 private:
  engine::Port port_;
  engine::Descriptor bridge_;
};

// The peers' side of the tunnels: one socket for all of them, which lives as long as the process.
class Wire {
 public:
  static Wire& instance();

  engine::UdpSocket& socket() { return socket_; }
  const engine::Endpoint& endpoint() const { return endpoint_; }
  // `segment_bytes` 0: one datagram; else a train that the lane receives in one piece.
  void send(engine::Bytes bytes, size_t segment_bytes);
  // Until the lane's socket has something to read; false: nothing came.
  bool arrived() const;
  // Whether it has something to read now.
  bool pending() const;
  // The next datagram of the lane; nothing when there is no more.
  std::optional<engine::MutableBytes> receive(engine::MutableBytes buffer) const;

 private:
  bool readable_within(int limit_ms) const;

  Wire();

  engine::UdpSocket socket_;
  engine::Endpoint endpoint_;
  engine::Descriptor peers_;
};

// Counts what lanes tell.
class CountedEvents : public engine::Events {
 public:
  size_t handshakes = 0;
  size_t exhausted = 0;

  void handshake(engine::Bytes, const engine::Path&) override { handshakes++; }
  void session_wanted(const engine::PeerId&) override {}
  void relay_wanted(const engine::PeerId&) override {}
  void session_confirmed(uint32_t) override {}
  void roamed(const engine::PeerId&, const engine::Endpoint&) override {}
  void probed(engine::PeerNumber, uint16_t) override {}
  void probe_answered(const engine::PeerId&, uint16_t) override {}
  void session_exhausted(uint32_t) override { exhausted++; }
  void learned(uint32_t, engine::Mac, const std::optional<engine::Ip>&) override {}
  void failed(const std::string&) override { abort(); }
};

// Checks a message that a lane wrote to the port, and returns how many frames it is.
size_t check_port_message(engine::Bytes message, const engine::Port::Features& features);

uint64_t total(const engine::DropCounts& drops, engine::Drop first, engine::Drop last);
uint64_t total(const engine::DropCounts& drops);

}  // namespace fabric::fuzz
