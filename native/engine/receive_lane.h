// The lane from the peers to the port: finds the session, refuses replays and forgeries, confirms and roams, puts segments and
// pieces together. Invariant: nothing before authentication has a lasting effect but a counter.
#pragma once

#include <memory>

#include "aead.h"
#include "forwarding.h"
#include "lane.h"
#include "lane_parts.h"
#include "limits.h"
#include "pieces.h"
#include "replay.h"
#include "segments.h"

namespace fabric::engine {

class ReceiveLane : public Lane {
 public:
  // Called on this lane's thread.
  struct Tell {
    // A peer moved.
    std::function<void(PeerNumber, const Endpoint&)> moved;
    // There is something in the ring.
    std::function<void()> relayed;
  };
  ReceiveLane(const LaneFacts& facts, const LaneParts& parts, Tell tell);

  // The rest runs as commands on the lane's thread. Unknown peers and sessions are ignored.
  // Of the main network.
  Table& table() { return networks_.main().table; }
  Networks& networks() { return networks_; }
  void add_peer(PeerNumber number, const PeerId& id, std::shared_ptr<PeerCounters> counters);
  void remove_peer(PeerNumber number);
  void add_session(uint32_t local_index, PeerNumber peer, std::shared_ptr<Opener> opener);
  void remove_session(uint32_t local_index);
  void set_path(PeerNumber number, const std::optional<Path>& path);
  // Gives up frames whose missing pieces are overdue.
  void expire_pieces();

  int idle_ms() const override { return pieces_wait_ ? 1000 : -1; }

 protected:
  bool serve() override;
  pollfd source() const override { return {socket_.fd(), POLLIN, 0}; }
  void source_failed() override;

 private:
  // One receive with offload fills one of these; a run of segments points into several.
  static constexpr size_t kBuffers = 4;
  static constexpr size_t kBufferBytes = 65536;
  // As src/router/pcap/peer-link.ts.
  static constexpr double kProbesPerSecond = 50;

  struct Peer {
    PeerId id;
    PeerNumber number;
    std::shared_ptr<PeerCounters> counters;
    std::unique_ptr<PieceAssembly> assembly;
    // It is reached by a relay: then its datagrams move nothing.
    bool relayed = false;
    std::optional<SocketAddress> address;
    std::optional<Endpoint> reported;
    // `address` is what was reported.
    bool settled = false;
    uint64_t roamed_us = 0;
    // Of the peer's probes, and of its answers to ours.
    TokenBucket probes{kProbesPerSecond, kProbesPerSecond};
    TokenBucket probe_answers{kProbesPerSecond, kProbesPerSecond};
  };
  struct Session {
    uint32_t local_index;
    Peer* peer;
    std::shared_ptr<Opener> opener;
    ReplayWindow window;
    bool confirmed = false;
  };

  // How a datagram came: one of the two is there.
  struct Arrival {
    const SocketAddress* address = nullptr;
    const RelayPath* relay = nullptr;
  };

  void receive(MutableBytes datagram, const Arrival& arrival);
  void receive_data(MutableBytes datagram, const Arrival& arrival);
  void follow(Peer& peer, const SocketAddress& from);
  void unpack(Session& session, uint64_t counter, MutableBytes plain, const Arrival& arrival);
  void take_probe(Peer& peer, Kind kind, Bytes body);
  void take_relayed(Peer& peer, uint8_t hop_limit, MutableBytes body, const Arrival& arrival);
  void take_segment(Session& session, const Network& network, uint64_t counter, const Inner& inner, MutableBytes body);
  void take_datagram(Peer& peer, const Network& network, MutableBytes body);
  void deliver(Peer& peer, const Network& network, MutableBytes bytes, bool partial);
  void count_received(Peer& peer, size_t bytes);
  // Applies the forwarding rules; nothing when they dropped the frame.
  std::optional<Frame> admit(Peer& peer, const Network& network, Bytes bytes);
  void inject(Peer& peer, const Network& network, const Frame& frame, MutableBytes bytes, bool partial);
  static bool finish_checksum(const Port& port, const Frame& frame, MutableBytes bytes, VnetHeader* vnet);
  // True when the run is of that peer and network.
  bool continues_run(const Peer& peer, const Network& network) const {
    return run_peer_ == &peer && run_network_ == &network;
  }
  void begin_run(Peer& peer, const Network& network) {
    run_peer_ = &peer;
    run_network_ = &network;
  }
  void write_run();

  Networks networks_;
  const PeerId self_;
  UdpSocket& socket_;
  Events& events_;
  EngineCounters& counters_;
  RelayRing& relay_ring_;
  const Tell tell_;
  std::unordered_map<PeerNumber, Peer> peers_;
  std::unordered_map<uint32_t, std::unique_ptr<Session>> sessions_;
  SegmentRun run_;
  Peer* run_peer_ = nullptr;
  const Network* run_network_ = nullptr;
  uint64_t now_us_;
  bool pieces_wait_ = false;
  // Something was put into the ring in this turn.
  bool relayed_ = false;
  std::unique_ptr<uint8_t[]> buffers_;
};

}  // namespace fabric::engine
