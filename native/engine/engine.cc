// See engine.h.
#include "engine.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include <chrono>
#include <cstdio>

namespace fabric::engine {
namespace {

// Our tuning: how old the daemon's counters are at most where frames move, and what it knows of when peers were heard.
constexpr std::chrono::milliseconds kReportMs{100};
constexpr std::chrono::milliseconds kLifeReportMs{1000};
// The longest sleep: poll's time stands still while the machine sleeps, that of keys does not.
constexpr int64_t kIdleUsMax = 1'000'000;
// A flood of handshakes costs so much memory, and events of the lanes as much again; what is beyond is dropped and counted.
constexpr size_t kEventBytesMax = 1 << 20;
// Without a daemon: how often peers are shown that this host lives. Three of them fit in the time after which hosts call each other
// dead (src/gossip/peer-liveness.ts).
constexpr uint64_t kLifeSignUs = 1'500'000;

std::vector<DropCount> drops_of(std::initializer_list<const DropCounts*> all) {
  std::vector<DropCount> drops;
  for (size_t reason = 0; reason < kDropReasons; reason++) {
    uint64_t count = 0;
    for (const DropCounts* counts : all) count += counts->counts[reason].get();
    if (count > 0) drops.push_back({static_cast<uint8_t>(reason), count});
  }
  return drops;
}

}  // namespace

Engine::Engine(const SendLane::Facts& facts, const Parts& parts, Lifetime lifetime, size_t threads)
    : facts_(facts),
      parts_(parts),
      lifetime_(std::move(lifetime)),
      book_(lifetime_.life_us),
      event_wake_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)),
      send_(facts, {parts_.port, parts_.socket, *this, counters_, relay_ring_}),
      receive_(facts, {parts_.port, parts_.socket, *this, counters_, relay_ring_},
               {[this](PeerNumber number, const Endpoint& endpoint) {
                  send_.post([this, number, endpoint] { send_.move(number, endpoint); });
                },
                [this] { crew_.received_for_send(); }}),
      crew_(send_, receive_, threads, [this] { lanes_moved(); }) {}

std::string Engine::run(uint32_t features) {
  features_ = features;
  segments_last_ = (features & kFeatureUdpSegment) != 0;
  crew_.start();
  greet();
  while (!stopping_) {
    const bool alone = !parts_.control.open();
    const int guests = alone ? parts_.door.fd() : parts_.control.fd();
    const short wanted = parts_.control.wants_write() ? POLLIN | POLLOUT : POLLIN;
    pollfd descriptors[2] = {{guests, wanted, 0}, {event_wake_.get(), POLLIN, 0}};
    poll(descriptors, 2, idle_ms());
    if (descriptors[1].revents != 0) take_events();
    serve_daemon(descriptors[0].revents);
    expire_sessions();
    if (parts_.control.open()) report_when_due();
    else show_life();
  }
  parts_.control.flush();
  crew_.stop();
  return end_reason_;
}

int Engine::idle_ms() const {
  int64_t us = kIdleUsMax;
  const auto until = [&us](int64_t left_us) { us = std::clamp<int64_t>(left_us, 0, us); };
  const auto now = static_cast<int64_t>(now_us());
  if (const uint64_t expiry_us = book_.expiry_us(); expiry_us != UINT64_MAX) until(static_cast<int64_t>(expiry_us) - now);
  if (!parts_.control.open()) {
    until(static_cast<int64_t>(shown_life_us_ + kLifeSignUs) - now);
    until(static_cast<int64_t>(alone_since_us_ + lifetime_.life_us) - now);
  } else if (report_at_ != std::chrono::steady_clock::time_point::max()) {
    const auto left = report_at_ - std::chrono::steady_clock::now();
    until(std::chrono::duration_cast<std::chrono::microseconds>(left).count());
  }
  return static_cast<int>((us + 999) / 1000);
}

// Another daemon comes in, or the one that is there speaks, hears, or goes.
void Engine::serve_daemon(short events) {
  if (!parts_.control.open()) {
    if ((events & POLLIN) == 0) return;
    parts_.control.replace(parts_.door.accept());
    if (parts_.control.open()) greet();
    return;
  }
  if ((events & (POLLIN | POLLHUP | POLLERR)) != 0) {
    const auto read = parts_.control.read([this](Bytes message) { return apply(message); });
    if (read != ControlSocket::Read::kOpen) return lose_daemon();
  }
  if (!parts_.control.flush()) lose_daemon();
}

// Everything that lives, then `ready`: who has read it can take over.
void Engine::greet() {
  alone_since_us_ = 0;
  constexpr auto greeting = ControlSocket::Kind::kGreeting;
  parts_.control.send(encode_hello(lifetime_.settings), greeting);
  for (const BookedSession& session : book_.all()) parts_.control.send(encode_session(session), greeting);
  for (auto& [id, peer] : peers_) peer.reported.reset();
  stats_.clear();
  report();
  parts_.control.send(encode_ready(parts_.socket.port(), features_, parts_.send_aead.name()), greeting);
}

void Engine::lose_daemon() {
  parts_.control.replace(Descriptor());
  staged_.reset();
  alone_since_us_ = now_us();
  if (parts_.door.usable()) return;
  stopping_ = true;
  end_reason_ = "the daemon is gone";
}

void Engine::expire_sessions() {
  const uint64_t now = now_us();
  for (const uint32_t local_index : book_.take_expired(now)) {
    send_.post([this, local_index] { send_.remove_session(local_index); });
    receive_.post([this, local_index] { receive_.remove_session(local_index); });
  }
  // No session is younger than the absence of whoever made it.
  if (parts_.control.open()) return;
  if (!failed_ && now < alone_since_us_ + lifetime_.life_us) return;
  stopping_ = true;
  end_reason_ = failed_ ? "a lane failed" : "no daemon came back before the last key was over";
}

// Peers take a silent host for dead, and send its containers nothing more. A daemon speaks on its links; without one, this does on
// the tunnels.
void Engine::show_life() {
  const uint64_t now = now_us();
  if (now - shown_life_us_ < kLifeSignUs) return;
  shown_life_us_ = now;
  for (const auto& [id, peer] : peers_) send_.post([this, number = peer.number] { send_.send_keepalive(number); });
}

bool Engine::apply(Bytes message) {
  const auto command = decode_command(message);
  if (!command) return false;
  std::visit([this](const auto& known) { apply(known); }, *command);
  return true;
}

void Engine::apply(const AddSession& command) {
  const SessionFacts& facts = command.facts;
  const PeerNumber peer = number_of(facts.peer);
  std::shared_ptr<Sealer> sealer = parts_.send_aead.make_sealer(facts.cipher, command.send_key);
  std::shared_ptr<Opener> opener = parts_.receive_aead.make_opener(facts.cipher, command.receive_key);
  if (!sealer || !opener) return failed("the cipher library refused a key");
  book_.add(facts, now_us());
  send_.post([this, local = facts.local_index, remote = facts.remote_index, peer, sealer] {
    send_.add_session(local, remote, peer, sealer);
  });
  receive_.post([this, local = facts.local_index, peer, opener] { receive_.add_session(local, peer, opener); });
}

void Engine::apply(const UseSession& command) {
  book_.use(command.local_index);
  send_.post([this, local = command.local_index] { send_.use_session(local); });
}

void Engine::apply(const RemoveSession& command) {
  book_.remove(command.local_index);
  send_.post([this, local = command.local_index] { send_.remove_session(local); });
  receive_.post([this, local = command.local_index] { receive_.remove_session(local); });
}

void Engine::apply(const SetPath& command) {
  const PeerNumber peer = number_of(command.peer);
  book_.set_path(command.peer, command.path);
  send_.post([this, peer, path = command.path] { send_.set_path(peer, path); });
  receive_.post([this, peer, path = command.path] { receive_.set_path(peer, path); });
}

void Engine::apply(const SetPathMtu& command) {
  const PeerNumber peer = number_of(command.peer);
  send_.post([this, peer, bytes = command.bytes] { send_.set_path_mtu(peer, bytes); });
}

void Engine::apply(const SendRaw& command) {
  if (const auto* path = std::get_if<RelayPath>(&command.to)) {
    send_.post([this, path = *path, datagram = command.datagram]() mutable { send_.send_raw(path, datagram); });
    return;
  }
  const SocketAddress to = parts_.socket.address(std::get<Endpoint>(command.to));
  auto unsent = parts_.socket.send(command.datagram, 0, to);
  if (unsent.waiting > 0) {
    parts_.socket.wait_writable();
    unsent = parts_.socket.send(command.datagram, 0, to);
  }
  counters_.control_drops.count(Drop::kSendQueueFull, unsent.waiting + unsent.lost);
  counters_.control_drops.count(Drop::kSendFailed, unsent.failed);
  if (!unsent.none()) notice(kSignOfLife);
}

void Engine::apply(const SendKeepalive& command) {
  const auto found = peers_.find(command.peer);
  if (found == peers_.end()) return;
  send_.post([this, peer = found->second.number] { send_.send_keepalive(peer); });
}

void Engine::apply(const SendProbe& command) {
  const auto found = peers_.find(command.peer);
  if (found == peers_.end()) return;
  send_.post([this, peer = found->second.number, bytes = command.bytes] { send_.send_probe(peer, bytes); });
}

void Engine::apply(const RemovePeer& command) {
  const auto found = peers_.find(command.peer);
  if (found == peers_.end()) return;
  const PeerNumber peer = found->second.number;
  peers_.erase(found);
  book_.remove_peer(command.peer);
  send_.post([this, peer] { send_.remove_peer(peer); });
  receive_.post([this, peer] { receive_.remove_peer(peer); });
}

void Engine::apply(const Stop&) {
  stopping_ = true;
  end_reason_ = "it was told to stop";
}

void Engine::apply(const Report&) {
  receive_.post([this] {
    receive_.expire_pieces();
    send_.post([this] {
      report_due_ = true;
      tell(encode_reported());
    });
  });
}

void Engine::apply(const SetClock& command) { set_manual_clock(command.now_us); }

PeerNumber Engine::number_of(const PeerId& id) {
  const auto found = peers_.find(id);
  if (found != peers_.end()) return found->second.number;
  const PeerNumber number = next_number_++;
  auto counters = std::make_shared<PeerCounters>();
  peers_.emplace(id, Peer{number, counters, {}});
  send_.post([this, number, id, counters] { send_.add_peer(number, id, counters); });
  receive_.post([this, number, id, counters] { receive_.add_peer(number, id, counters); });
  return number;
}

void Engine::watch_offloads() {
  if (parts_.socket.segments() || !segments_last_.load(std::memory_order_relaxed)) return;
  if (segments_last_.exchange(false)) wake();
}

void Engine::notice_lost_features() {
  if ((features_ & kFeatureUdpSegment) == 0 || parts_.socket.segments()) return;
  features_ &= ~kFeatureUdpSegment;
  if (parts_.control.open()) {
    parts_.control.send(encode_ready(parts_.socket.port(), features_, parts_.send_aead.name()));
  }
}

void Engine::notice(News news) {
  if ((news_.fetch_or(news, std::memory_order_acq_rel) & news) != news) wake();
}

uint64_t Engine::frames_moved() const {
  return counters_.frames_in.get() + counters_.frames_out.get() + counters_.relayed.forwarded_datagrams.get();
}

void Engine::lanes_moved() {
  watch_offloads();
  notice(frames_moved() == frames_reported_.load(std::memory_order_relaxed) ? kSignOfLife : kFrames);
}

void Engine::report_when_due() {
  const auto now = std::chrono::steady_clock::now();
  const uint8_t news = news_.load(std::memory_order_acquire);
  if (news != 0) report_at_ = std::min(report_at_, now + (news == kFrames ? kReportMs : kLifeReportMs));
  if (now < report_at_) return;
  report();
}

void Engine::report() {
  // First: what is counted from here on is noticed anew.
  news_.exchange(0, std::memory_order_acq_rel);
  report_at_ = std::chrono::steady_clock::time_point::max();
  frames_reported_.store(frames_moved(), std::memory_order_relaxed);
  bool told = true;
  counters_.control_drops.counts[static_cast<size_t>(Drop::kOverload)].set(parts_.socket.overruns() + events_lost_);
  for (auto& [id, peer] : peers_) {
    const PeerCounters& counters = *peer.counters;
    // Before the counters are read: what is added meanwhile is reported next time.
    const uint64_t sum = counters.sum();
    if (peer.reported == sum) continue;
    Message stats = encode_peer_stats({id, counters.tx_frames.get(), counters.tx_bytes.get(), counters.rx_frames.get(),
                                       counters.rx_bytes.get(), counters.last_data_sent_us.get(),
                                       counters.last_data_received_us.get(), counters.last_received_us.get(),
                                       drops_of({&counters.send_drops, &counters.receive_drops})});
    if (parts_.control.send(std::move(stats))) peer.reported = sum;
    else told = false;
  }
  const RelayCounters& relayed = counters_.relayed;
  Message stats = encode_engine_stats(
      {counters_.frames_in.get(),
       counters_.frames_out.get(),
       {relayed.forwarded_datagrams.get(), relayed.forwarded_bytes.get(), relayed.sent_datagrams.get(),
        relayed.sent_bytes.get(), relayed.received_datagrams.get(), relayed.received_bytes.get()},
       drops_of({&counters_.send_drops, &counters_.receive_drops, &counters_.control_drops})});
  if (stats != stats_) {
    if (parts_.control.send(stats)) stats_ = std::move(stats);
    else told = false;
  }
  // What the daemon did not get, because it reads too slowly, is said again.
  if (!told) report_at_ = std::chrono::steady_clock::now() + kReportMs;
}

void Engine::tell(Message message) {
  {
    const std::lock_guard lock(event_mutex_);
    size_t& bytes = is_handshake(message) ? handshake_bytes_ : event_bytes_;
    if (bytes + message.size() > kEventBytesMax) {
      events_lost_++;
      return;
    }
    bytes += message.size();
    event_queue_.push_back(std::move(message));
  }
  wake();
}

void Engine::wake() {
  const uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = write(event_wake_.get(), &one, sizeof one);
}

void Engine::take_events() {
  uint64_t count = 0;
  [[maybe_unused]] const ssize_t bytes = read(event_wake_.get(), &count, sizeof count);
  std::vector<Message> events;
  {
    const std::lock_guard lock(event_mutex_);
    events.swap(event_queue_);
    handshake_bytes_ = 0;
    event_bytes_ = 0;
  }
  notice_lost_features();
  if (report_due_.exchange(false) && parts_.control.open()) report();
  if (!parts_.control.open()) return miss_events(events);
  for (Message& event : events) {
    const auto kind = is_handshake(event) ? ControlSocket::Kind::kHandshake : ControlSocket::Kind::kOther;
    if (!parts_.control.send(std::move(event), kind)) events_lost_++;
  }
}

// The book knows what sessions went through, lanes ask again for sessions: only handshakes are lost with the daemon.
void Engine::miss_events(const std::vector<Message>& events) {
  for (const Message& event : events) {
    if (is_handshake(event)) counters_.control_drops.count(Drop::kDaemonAbsent);
  }
}

void Engine::handshake(Bytes datagram, const Path& from) { tell(encode_handshake(datagram, from)); }
void Engine::session_wanted(const PeerId& peer) { tell(encode_session_wanted(peer)); }
void Engine::relay_wanted(const PeerId& peer) { tell(encode_relay_wanted(peer)); }
void Engine::session_confirmed(uint32_t local_index) {
  book_.confirm(local_index);
  tell(encode_session_confirmed(local_index));
}
void Engine::roamed(const PeerId& peer, const Endpoint& endpoint) {
  book_.move(peer, endpoint);
  tell(encode_roamed(peer, endpoint));
}
// One lane hears the question, the other answers it.
void Engine::probed(PeerNumber peer, uint16_t bytes) {
  notice(kFrames);  // somebody asks whether hosts hear each other
  send_.post([this, peer, bytes] { send_.answer_probe(peer, bytes); });
}

void Engine::probe_answered(const PeerId& peer, uint16_t bytes) {
  notice(kFrames);
  tell(encode_probe_answered(peer, bytes));
}

void Engine::session_exhausted(uint32_t local_index) {
  book_.exhaust(local_index);
  tell(encode_session_exhausted(local_index));
}
void Engine::learned(uint32_t network, Mac mac, const std::optional<Ip>& ip) { tell(encode_learned(network, mac, ip)); }
void Engine::failed(const std::string& reason) {
  fprintf(stderr, "fabric-engine: %s\n", reason.c_str());
  failed_ = true;
  tell(encode_failed("kernel-feature-missing", reason));
}

}  // namespace fabric::engine
