// The lane from the port to the peers: looks up where a frame goes, cuts what is a superframe or too large for the path,
// numbers, seals and sends. Invariant: each frame is sent, waits for a session, is answered, or is counted as dropped once;
// no counter of a session is used twice, because this thread alone gives them out.
#pragma once

#include <deque>
#include <memory>

#include "aead.h"
#include "forwarding.h"
#include "lane.h"
#include "lane_parts.h"
#include "limits.h"
#include "outbox.h"
#include "segments.h"

namespace fabric::engine {

class SendLane : public Lane {
 public:
  struct Facts : LaneFacts {
    // Underlay MTU of a peer before set_path_mtu.
    size_t path_mtu = 1500;
  };
  SendLane(const Facts& facts, const LaneParts& parts);

  // The rest runs as commands on the lane's thread. Unknown peers and sessions are ignored.
  // Of the main network.
  Table& table() { return networks_.main().table; }
  // Null for one that this host has no part in.
  Network* network(uint32_t id) { return networks_.find(id); }
  // From now on frames of this network enter by `port`.
  Network& put_network(const NetworkFacts& facts, std::shared_ptr<Port> port);
  void remove_network(uint32_t id);
  void replace_networks(std::map<uint32_t, Network> next);
  void add_peer(PeerNumber number, const PeerId& id, std::shared_ptr<PeerCounters> counters);
  void remove_peer(PeerNumber number);
  void add_session(uint32_t local_index, uint32_t remote_index, PeerNumber peer, std::shared_ptr<Sealer> sealer);
  void use_session(uint32_t local_index);
  void remove_session(uint32_t local_index);
  void set_path(PeerNumber number, const std::optional<Path>& path);
  // The peer roamed. Nothing when it has a relay by now.
  void move(PeerNumber number, const Endpoint& endpoint);
  void set_path_mtu(PeerNumber number, size_t bytes);
  void send_keepalive(PeerNumber number);
  // Asks whether an outer IP packet of `bytes` arrives at the peer.
  void send_probe(PeerNumber number, size_t bytes);
  void answer_probe(PeerNumber number, uint16_t bytes);
  // A handshake datagram, as it is.
  void send_raw(const RelayPath& path, MutableBytes datagram);
  void announce(const Network& network, const Ip& ip, Mac mac);

  int idle_ms() const override { return outbox_.waiting() ? kFullRetryMs : -1; }

 protected:
  bool serve() override;
  pollfd source() const override;
  void source_failed() override;

 private:
  struct Session {
    uint32_t local_index;
    uint32_t remote_index;
    PeerNumber peer;
    std::shared_ptr<Sealer> sealer;
    uint64_t next_counter = 0;
    bool exhausted = false;
  };
  struct WaitingFrame {
    uint32_t network;
    VnetHeader vnet;
    std::vector<uint8_t> bytes;
    // On the wire, as drops are counted.
    size_t frames;
  };
  struct Peer {
    PeerId id;
    std::shared_ptr<PeerCounters> counters;
    Session* sending = nullptr;
    // Where it is, or else who passes on to it.
    std::optional<SocketAddress> address;
    std::optional<PeerId> relay;
    bool ipv4 = true;
    size_t path_mtu;
    // The longest frame or piece that one datagram carries.
    size_t body_max;
    std::deque<WaitingFrame> waiting;
    size_t waiting_bytes = 0;
    uint64_t wanted_us = 0;
    uint64_t relay_wanted_us = 0;
  };
  // A frame of the port, understood.
  struct Outgoing {
    const Network* network = nullptr;
    MutableBytes bytes;
    VnetHeader vnet;
    Frame frame;
    std::optional<Superframe> superframe;
    // Only the outer L4 checksum is left to the receiver.
    bool partial = false;

    // How many frames it is on the wire.
    size_t frames() const { return superframe ? superframe->count : 1; }
  };

  // Our tuning: how often a full buffer of the socket is tried again. The kernel says that it is writable once half of it is free.
  static constexpr int kFullRetryMs = 10;

  // One batch of one port; false when there was nothing.
  bool drain(const Network& network);
  // Ports with frames, where there are several.
  bool drain_ready();
  std::optional<Drop> read(MutableBytes bytes, const VnetHeader& vnet, Outgoing* outgoing);
  void forward(const Network& network, MutableBytes bytes, const VnetHeader& vnet);
  // Why the frame goes to no peer.
  Drop dispatch(const Outgoing& outgoing);
  void send(Peer& peer, const Outgoing& outgoing);
  // `network` is what the inner header says.
  void send_frame(Peer& peer, Peer& next_hop, uint32_t network, Bytes frame, bool partial);
  void send_pieces(Peer& peer, Peer& next_hop, uint32_t network, Bytes frame, bool partial);
  void send_segments(Peer& peer, Peer& next_hop, uint32_t network, const Superframe& superframe);
  void send_cut(Peer& peer, Peer& next_hop, uint32_t network, const Superframe& superframe);
  // One datagram that is no data; nothing without a session.
  void send_apart(PeerNumber number, Kind kind, Bytes body);
  void seal(Peer& peer, Peer& next_hop, uint64_t counter, Bytes prefix, Bytes body);
  // Whose address datagrams for the peer go to: its own or its relay's. Null: there is no way now, and a session with the relay
  // was asked for.
  Peer* next_hop_of(Peer& peer);
  // The peer, when datagrams can go inside of its own; else asks for its session.
  Peer* carrier(const PeerId& id);
  void pass_on(const RelayRing::Passage& passage);
  void send_by_relay(Peer& relay, const PeerId& destination, MutableBytes datagram, DropCounts* drops);
  // False when it is too large for the path, which is counted in `drops`.
  bool wrap(Peer& next_hop, const Relayed& relayed, DropCounts* drops);
  // Takes `count` consecutive counters of the peer's session and returns the first.
  uint64_t reserve(Peer& peer, size_t count);
  // Ends sending on a session near its counter limit, and says so.
  void retire_used_up(Peer& peer);
  void wait(Peer& peer, const Outgoing& outgoing);
  // Ask for a session, as often as the contract has it: for frames that wait, and for what is relayed.
  void want(Peer& peer);
  void want_relay(const PeerId& id);
  // True once in kWantedRepeatUs.
  bool is_due(uint64_t& wanted_us) const;
  void count_sent(Peer& peer, size_t frames, size_t bytes);
  void measure(Peer& peer);
  void inject(const Network& network, Bytes frame);
  void watch_port(const Network& network);
  void unwatch_port(const Network& network);
  Peer* find(PeerNumber number);
  Peer* find(const PeerId& id);

  Networks networks_;
  // All of their ports, for one wait (epoll).
  Descriptor ports_;
  const PeerId self_;
  size_t path_mtu_;
  Events& events_;
  EngineCounters& counters_;
  RelayRing& relay_ring_;
  Outbox outbox_;
  std::unordered_map<PeerNumber, Peer> peers_;
  std::unordered_map<PeerId, PeerNumber, PeerIdHash> numbers_;
  std::unordered_map<uint32_t, std::unique_ptr<Session>> sessions_;
  Strangers strangers_;
  TokenBucket strangers_wanted_;
  TokenBucket unknown_unicast_;
  TokenBucket too_big_answers_;
  TokenBucket announcements_;
  uint64_t now_us_;
  bool failed_ = false;
  std::unique_ptr<uint8_t[]> buffer_;
  std::unique_ptr<uint8_t[]> cut_;
  // One datagram on its way into another.
  std::unique_ptr<uint8_t[]> sealed_;
};

}  // namespace fabric::engine
