// The engine's control thread: carries the daemon's commands to the lanes, and what lanes notice and count to the daemon.
// It alone knows peers by identity; the lanes know numbers.
#pragma once

#include "control_socket.h"
#include "receive_lane.h"
#include "send_lane.h"

namespace fabric::engine {

class Engine : public Events {
 public:
  // They outlive the engine. Each lane has a library of its own.
  struct Parts {
    Port& port;
    UdpSocket& socket;
    ControlSocket& control;
    AeadLibrary& send_aead;
    AeadLibrary& receive_aead;
  };
  Engine(const SendLane::Facts& facts, const Parts& parts);

  // Says `ready` and serves until the daemon says stop or goes away; all keys are zeroed when the engine ends.
  void run(uint32_t features);

  // Events of the lanes, on their threads.
  void handshake(Bytes datagram, const Endpoint& from) override;
  void session_wanted(const PeerId& peer) override;
  void session_confirmed(uint32_t local_index) override;
  void roamed(const PeerId& peer, const Endpoint& endpoint) override;
  void session_exhausted(uint32_t local_index) override;
  void learned(uint32_t network, Mac mac, const std::optional<Ip>& ip) override;
  void failed(const std::string& reason) override;

 private:
  struct PeerIdHash {
    size_t operator()(const PeerId& id) const { return mix(load_u64(id.data())); }
  };
  struct Peer {
    PeerNumber number;
    std::shared_ptr<PeerCounters> counters;
    // As last reported.
    Message stats;
  };

  bool apply(Bytes message);
  void apply(const AddSession& command);
  void apply(const UseSession& command);
  void apply(const RemoveSession& command);
  void apply(const SetEndpoint& command);
  void apply(const SetPathMtu& command);
  void apply(const ApplyTables& command);
  void apply(const SendRaw& command);
  void apply(const SendKeepalive& command);
  void apply(const RemovePeer& command);
  void apply(const Stop& command);
  void apply(const Report& command);
  void apply(const SetClock& command);
  void apply_change(const TableChange& change);

  // Made known to both lanes at the first mention.
  PeerNumber number_of(const PeerId& id);
  void on_lanes(std::function<void(Table&)> change);
  void tell(Message message);
  void take_events();
  void report();

  SendLane::Facts facts_;
  Parts parts_;
  EngineCounters counters_;
  Descriptor event_wake_;
  std::mutex event_mutex_;
  std::vector<Message> event_queue_;
  size_t event_bytes_ = 0;
  // Messages that the daemon was too slow for.
  uint64_t events_lost_ = 0;
  std::atomic<bool> report_due_{false};
  bool stopping_ = false;
  std::unordered_map<PeerId, Peer, PeerIdHash> peers_;
  PeerNumber next_number_ = 0;
  Message stats_;
  SendLane send_;
  ReceiveLane receive_;
};

}  // namespace fabric::engine
