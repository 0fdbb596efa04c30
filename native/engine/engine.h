// The engine's control thread: carries the daemon's commands to the lanes, and what lanes notice and count to the daemon.
// It alone knows peers by identity; the lanes know numbers. Daemons come and go while frames flow: each is told what lives,
// and without one the engine ends when the last key that the former can have given it is over.
#pragma once

#include <chrono>
#include <optional>

#include "control_door.h"
#include "control_socket.h"
#include "crew.h"
#include "receive_lane.h"
#include "send_lane.h"

namespace fabric::engine {

class Engine : public Events {
 public:
  // They outlive the engine. Each lane has a library of its own.
  struct Parts {
    Port& port;
    UdpSocket& socket;
    // To the daemon that started it.
    ControlSocket& control;
    // Where later ones come in.
    ControlDoor& door;
    AeadLibrary& send_aead;
    AeadLibrary& receive_aead;
    // For networks beside the main one; null: there are none.
    SparePorts* spares = nullptr;
  };
  struct Lifetime {
    // How old a session's keys get, and how long the engine goes on without a daemon.
    uint64_t life_us;
    // The words that it was started with, for a daemon that compares them with its own.
    std::string settings;
  };
  // `threads` 1 or 2: how many move frames.
  Engine(const SendLane::Facts& facts, const Parts& parts, Lifetime lifetime, size_t threads = Crew::threads_here());

  // Greets the daemon and serves until one says stop, or none comes back in time; all keys are zeroed when the engine ends.
  // Returns why, in words.
  std::string run(uint32_t features);

  // Events of the lanes, on their threads.
  void handshake(Bytes datagram, const Path& from) override;
  void session_wanted(const PeerId& peer) override;
  void relay_wanted(const PeerId& peer) override;
  void session_confirmed(uint32_t local_index) override;
  void roamed(const PeerId& peer, const Endpoint& endpoint) override;
  void probed(PeerNumber peer, uint16_t bytes) override;
  void probe_answered(const PeerId& peer, uint16_t bytes) override;
  void session_exhausted(uint32_t local_index) override;
  void learned(uint32_t network, Mac mac, const std::optional<Ip>& ip) override;
  void failed(const std::string& reason) override;

 private:
  struct Peer {
    PeerNumber number;
    std::shared_ptr<PeerCounters> counters;
    // The sum of the counters as last reported; nothing: never.
    std::optional<uint64_t> reported;
  };

  void serve_daemon(short events);
  void greet();
  void lose_daemon();
  void expire_sessions();
  void show_life();
  bool apply(Bytes message);
  void apply(const AddSession& command);
  void apply(const UseSession& command);
  void apply(const RemoveSession& command);
  void apply(const SetPath& command);
  void apply(const SetPathMtu& command);
  void apply(const ApplyTables& command);
  void apply(const SendRaw& command);
  void apply(const SendKeepalive& command);
  void apply(const SendProbe& command);
  void apply(const RemovePeer& command);
  void apply(const Stop& command);
  void apply(const Report& command);
  void apply(const SetClock& command);
  void apply(const BeginTables& command);
  void apply(const EndTables& command);
  void apply_change(const TableChange& change);
  void stage_change(const TableChange& change);

  // Made known to both lanes at the first mention.
  PeerNumber number_of(const PeerId& id);
  std::vector<PeerNumber> numbers_of(const std::vector<PeerId>& peers);
  NetworkFacts facts_of(const TableChange& change) const;
  // Null when there is none to be had.
  std::shared_ptr<Port> open_port(const TableChange& change);
  // Nothing happens on a lane that has no such network.
  void on_send(uint32_t network, std::function<void(Network&)> change);
  void on_receive(uint32_t network, std::function<void(Network&)> change);
  void on_lanes(uint32_t network, const std::function<void(Network&)>& change);
  void tell(Message message);
  void wake();
  void take_events();
  void miss_events(const std::vector<Message>& events);
  // An offload that the machine promised and then refused. From any thread: wakes the control thread once.
  void watch_offloads();
  void notice_lost_features();
  // What lanes do is reported soon; that datagrams came without a frame may wait for company.
  enum News : uint8_t { kSignOfLife = 1, kFrames = 3 };
  // From any thread.
  void notice(News news);
  uint64_t frames_moved() const;
  void lanes_moved();
  void report_when_due();
  void report();
  // How long the control thread may sleep.
  int idle_ms() const;

  SendLane::Facts facts_;
  Parts parts_;
  Lifetime lifetime_;
  uint32_t features_ = 0;
  // No lane has met a refusal of UDP_SEGMENT yet.
  std::atomic<bool> segments_last_{false};
  SessionBook book_;
  // Between BeginTables and EndTables.
  std::optional<std::map<uint32_t, Network>> staged_;
  // Of the networks beside the main one: the lanes have them, and let go of them in their own time.
  struct NamedPort {
    std::string name;
    std::weak_ptr<Port> port;
  };
  std::map<uint32_t, NamedPort> ports_;
  // When the last daemon went; 0: one is there.
  uint64_t alone_since_us_ = 0;
  uint64_t shown_life_us_ = 0;
  std::string end_reason_;
  // A lane can't go on: a daemon ends the engine then; without one it ends itself.
  std::atomic<bool> failed_{false};
  EngineCounters counters_;
  Descriptor event_wake_;
  std::mutex event_mutex_;
  std::vector<Message> event_queue_;
  // Of handshakes in the queue, and of all else.
  size_t handshake_bytes_ = 0;
  size_t event_bytes_ = 0;
  // Messages that the daemon was too slow for.
  std::atomic<uint64_t> events_lost_{0};
  std::atomic<bool> report_due_{false};
  // Since the last report.
  std::atomic<uint8_t> news_{0};
  std::atomic<uint64_t> frames_reported_{0};
  std::chrono::steady_clock::time_point report_at_ = std::chrono::steady_clock::time_point::max();
  bool stopping_ = false;
  std::unordered_map<PeerId, Peer, PeerIdHash> peers_;
  PeerNumber next_number_ = 0;
  Message stats_;
  RelayRing relay_ring_;
  SendLane send_;
  ReceiveLane receive_;
  Crew crew_;
};

}  // namespace fabric::engine
