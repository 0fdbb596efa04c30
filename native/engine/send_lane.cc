// See send_lane.h.
#include "send_lane.h"

#include <sys/epoll.h>

#include "pieces.h"

namespace fabric::engine {
namespace {

// Our tuning: what is read before commands and the other lane get their turn, whichever comes first. The bytes fit into a
// core's cache, and whoever waits for an acknowledgement waits for so much.
constexpr int kBatch = 64;
constexpr size_t kBatchBytes = 512 * 1024;
// Of several ports, so many are served in one turn; the kernel lets the others come first in the next.
constexpr int kReadyPortsMax = 16;
// As src/router/pcap: how many unknown destinations are copied to everybody, how often oversize is answered, and so on.
constexpr double kUnknownUnicastPerSecond = 1000;
constexpr double kTooBigPerSecond = 100;
constexpr double kTooBigBurst = 50;
constexpr double kAnnouncementsPerSecond = 1000;
constexpr size_t kWaitingFramesMax = 64;
constexpr size_t kWaitingBytesMax = 64 * 1024;
constexpr size_t kPathMtuMin = 296;
constexpr size_t kPathMtuMax = 65535;
// A superframe has fewer bytes than this: sending stops so far before the limit that no frame meets it half sent.
constexpr uint64_t kCountersPerFrameMax = 1 << 17;
// From the Datapath contract: a session is asked for at most once per peer and second.
constexpr uint64_t kWantedRepeatUs = 1'000'000;

}  // namespace

SendLane::SendLane(const Facts& facts, Port& port, UdpSocket& socket, Events& events, EngineCounters& counters)
    : networks_(facts.network, port),
      ports_(epoll_create1(EPOLL_CLOEXEC)),
      path_mtu_(facts.path_mtu),
      events_(events),
      counters_(counters),
      outbox_(socket),
      unknown_unicast_(kUnknownUnicastPerSecond, kUnknownUnicastPerSecond),
      too_big_answers_(kTooBigPerSecond, kTooBigBurst),
      announcements_(kAnnouncementsPerSecond, kAnnouncementsPerSecond),
      now_us_(now_us()),
      buffer_(new uint8_t[kPortBufferBytes]),
      cut_(new uint8_t[kPortBufferBytes]) {
  watch_port(networks_.main());
}

bool SendLane::serve() {
  now_us_ = now_us();
  const bool worked = networks_.several() ? drain_ready() : drain(networks_.main());
  outbox_.flush();
  return worked;
}

bool SendLane::drain_ready() {
  epoll_event ready[kReadyPortsMax];
  const int count = epoll_wait(ports_.get(), ready, kReadyPortsMax, 0);
  bool worked = false;
  for (int i = 0; i < count; i++) {
    const Network* network = networks_.find(ready[i].data.u32);
    if (network != nullptr && drain(*network)) worked = true;
  }
  return worked;
}

bool SendLane::drain(const Network& network) {
  bool worked = false;
  size_t bytes = 0;
  for (int i = 0; i < kBatch && bytes < kBatchBytes; i++) {
    const auto input = network.port->read(buffer_.get());
    if (input.result == Port::Read::kGone) source_failed();
    if (input.result != Port::Read::kFrame) break;
    worked = true;
    bytes += input.frame.size();
    forward(network, input.frame, input.vnet);
  }
  return worked;
}

void SendLane::source_failed() {
  if (failed_) return;
  failed_ = true;
  events_.failed("the interface of a port is gone");
}

Network& SendLane::put_network(const NetworkFacts& facts, std::shared_ptr<Port> port) {
  Network* known = networks_.find(facts.network);
  if (known != nullptr) unwatch_port(*known);
  Network& network = networks_.put(facts, std::move(port));
  watch_port(network);
  return network;
}

void SendLane::remove_network(uint32_t id) {
  const Network* network = networks_.find(id);
  if (network == nullptr || network == &networks_.main()) return;
  unwatch_port(*network);
  networks_.remove(id);
}

void SendLane::replace_networks(std::map<uint32_t, Network> next) {
  for (const auto& [id, network] : networks_.all()) unwatch_port(network);
  const auto announcements = networks_.replace(std::move(next));
  for (const auto& [id, network] : networks_.all()) watch_port(network);
  for (const auto& [network, ip, mac] : announcements) announce(*network, ip, mac);
}

// Fails only where the descriptor can't be waited for, as a socket pair's end that a fuzz target closed.
void SendLane::watch_port(const Network& network) {
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.u32 = network.id();
  epoll_ctl(ports_.get(), EPOLL_CTL_ADD, network.port->fd(), &event);
}

void SendLane::unwatch_port(const Network& network) {
  epoll_ctl(ports_.get(), EPOLL_CTL_DEL, network.port->fd(), nullptr);
}

std::optional<Drop> SendLane::read(MutableBytes bytes, const VnetHeader& vnet, Outgoing* outgoing) {
  const auto frame = Frame::read(bytes);
  if (!frame) return Drop::kFrameShort;
  outgoing->bytes = bytes;
  outgoing->vnet = vnet;
  outgoing->frame = *frame;
  if (vnet.gso_type != kGsoNone) {
    outgoing->superframe = Superframe::read(*frame, vnet);
    if (!outgoing->superframe) return Drop::kChecksumImpossible;
    outgoing->partial = true;
    return std::nullopt;
  }
  const auto partial = settle_checksum(bytes, vnet);
  if (!partial) return Drop::kChecksumImpossible;
  outgoing->partial = *partial;
  if (!*partial) outgoing->vnet = {};
  return std::nullopt;
}

void SendLane::forward(const Network& network, MutableBytes bytes, const VnetHeader& vnet) {
  Outgoing outgoing;
  outgoing.network = &network;
  const auto unreadable = read(bytes, vnet, &outgoing);
  counters_.frames_in.add(outgoing.frames());
  const Drop dropped = unreadable ? *unreadable : dispatch(outgoing);
  if (dropped != Drop::kNone) counters_.send_drops.count(dropped, outgoing.frames());
}

Drop SendLane::dispatch(const Outgoing& outgoing) {
  const Frame& frame = outgoing.frame;
  const auto& superframe = outgoing.superframe;
  const Table& table = outgoing.network->table;
  const size_t packet_bytes =
      superframe ? superframe->header_bytes - frame.l3 + superframe->payload(0).size() : frame.packet_bytes();
  const Verdict verdict = decide_from_port(frame, packet_bytes, table);
  if (is_news(frame, verdict, table)) {
    const Sighting seen{outgoing.network->id(), frame.source, address_of_stranger(frame),
                        verdict.kind == Verdict::Kind::kDrop};
    if (strangers_.notice(seen, now_us_)) events_.learned(seen.network, seen.mac, seen.ip);
  }
  switch (verdict.kind) {
    case Verdict::Kind::kPeer:
      if (Peer* peer = find(verdict.peer)) send(*peer, outgoing);
      return Drop::kNone;
    case Verdict::Kind::kFlood:
      if (verdict.unknown_unicast && !unknown_unicast_.take(now_us_)) return Drop::kUnknownUnicastLimit;
      for (const PeerNumber number : table.flood()) {
        if (Peer* peer = find(number)) send(*peer, outgoing);
      }
      return Drop::kNone;
    case Verdict::Kind::kAnswer:
      inject(*outgoing.network, verdict.answer);
      return Drop::kNeighbourAnswered;
    case Verdict::Kind::kTooLarge: {
      const auto answer =
          too_big_answers_.take(now_us_) ? answer_too_big(frame, table.facts().mtu) : std::vector<uint8_t>();
      if (!answer.empty()) inject(*outgoing.network, answer);
      return Drop::kFrameTooLarge;
    }
    case Verdict::Kind::kDrop:
      return verdict.reason;
  }
  return Drop::kNone;
}

void SendLane::send(Peer& peer, const Outgoing& outgoing) {
  retire_used_up(peer);
  if (peer.sending == nullptr) {
    wait(peer, outgoing);
    return;
  }
  if (!peer.address) {
    peer.counters->send_drops.count(Drop::kNoEndpoint, outgoing.frames());
    return;
  }
  const SocketAddress& to = *peer.address;
  const auto& superframe = outgoing.superframe;
  const uint32_t network = outgoing.network->id();
  if (!superframe) {
    send_frame(peer, to, network, outgoing.bytes, outgoing.partial);
  } else if (superframe->header_bytes <= kHeaderMax &&
             superframe->header_bytes + superframe->segment_bytes <= peer.body_max) {
    send_segments(peer, to, network, *superframe);
  } else {
    send_cut(peer, to, network, *superframe);
  }
}

void SendLane::send_frame(Peer& peer, const SocketAddress& to, uint32_t network, Bytes frame, bool partial) {
  if (frame.size() > peer.body_max) {
    send_pieces(peer, to, network, frame, partial);
    return;
  }
  Inner inner;
  inner.kind = static_cast<uint8_t>(Kind::kFrame);
  inner.network = network;
  inner.flags = partial ? kFlagPartialChecksum : 0;
  uint8_t prefix[kInnerBytes];
  write_inner(prefix, inner);
  seal(peer, to, reserve(peer, 1), prefix, frame);
  count_sent(peer, 1, frame.size());
}

void SendLane::send_pieces(Peer& peer, const SocketAddress& to, uint32_t network, Bytes frame, bool partial) {
  const size_t count = piece_count(frame.size(), peer.body_max);
  if (count == 0) {
    peer.counters->send_drops.count(Drop::kPiecesLimit);
    return;
  }
  const uint64_t first = reserve(peer, count);
  Inner inner;
  inner.kind = static_cast<uint8_t>(Kind::kFragment);
  inner.network = network;
  inner.flags = partial ? kFlagPartialChecksum : 0;
  inner.count = static_cast<uint8_t>(count);
  // Pieces of equal length rather than full ones and a rest: none is tiny.
  const size_t piece_bytes = (frame.size() + count - 1) / count;
  for (size_t index = 0; index < count; index++) {
    inner.index = static_cast<uint8_t>(index);
    uint8_t prefix[kInnerBytes];
    write_inner(prefix, inner);
    const size_t start = index * piece_bytes;
    seal(peer, to, first + index, prefix, frame.subspan(start, std::min(piece_bytes, frame.size() - start)));
  }
  count_sent(peer, 1, frame.size());
}

void SendLane::send_segments(Peer& peer, const SocketAddress& to, uint32_t network, const Superframe& superframe) {
  Inner inner;
  inner.kind = static_cast<uint8_t>(Kind::kSegment);
  inner.network = network;
  inner.flags = kFlagPartialChecksum;
  inner.header_length = static_cast<uint8_t>(superframe.header_bytes);
  uint8_t prefix[kInnerBytes + kHeaderMax];
  const Bytes used(prefix, kInnerBytes + superframe.header_bytes);
  for (size_t start = 0; start < superframe.count; start += kPiecesMax) {
    const size_t count = std::min(superframe.count - start, kPiecesMax);
    const uint64_t first = reserve(peer, count);
    inner.count = static_cast<uint8_t>(count);
    size_t bytes = 0;
    for (size_t index = 0; index < count; index++) {
      inner.index = static_cast<uint8_t>(index);
      write_inner(prefix, inner);
      superframe.write_header(prefix + kInnerBytes, start + index);
      const Bytes payload = superframe.payload(start + index);
      seal(peer, to, first + index, used, payload);
      bytes += superframe.header_bytes + payload.size();
    }
    count_sent(peer, count, bytes);
  }
}

// Segments that are too large for the path themselves: each goes in pieces.
void SendLane::send_cut(Peer& peer, const SocketAddress& to, uint32_t network, const Superframe& superframe) {
  for (size_t index = 0; index < superframe.count; index++) {
    superframe.write_header(cut_.get(), index);
    const Bytes payload = superframe.payload(index);
    memcpy(cut_.get() + superframe.header_bytes, payload.data(), payload.size());
    send_frame(peer, to, network, Bytes(cut_.get(), superframe.header_bytes + payload.size()), true);
  }
}

void SendLane::seal(Peer& peer, const SocketAddress& to, uint64_t counter, Bytes prefix, Bytes body) {
  const size_t bytes = kOuterBytes + prefix.size() + body.size() + kTagBytes;
  uint8_t* datagram = outbox_.reserve(bytes, to, &peer.counters->send_drops);
  const Session& session = *peer.sending;
  write_outer(datagram, session.remote_index, counter);
  session.sealer->seal(counter, Bytes(datagram, kOuterBytes), prefix, body, datagram + kOuterBytes);
}

uint64_t SendLane::reserve(Peer& peer, size_t count) {
  const uint64_t first = peer.sending->next_counter;
  peer.sending->next_counter += count;
  return first;
}

void SendLane::retire_used_up(Peer& peer) {
  Session* session = peer.sending;
  if (session == nullptr || session->next_counter + kCountersPerFrameMax <= kSendCounterMax) return;
  session->exhausted = true;
  peer.sending = nullptr;
  events_.session_exhausted(session->local_index);
}

void SendLane::wait(Peer& peer, const Outgoing& outgoing) {
  const Bytes bytes = outgoing.bytes;
  if (bytes.size() > kWaitingBytesMax) {
    peer.counters->send_drops.count(Drop::kWaitingOverflow, outgoing.frames());
  } else {
    peer.waiting.push_back(
        {outgoing.network->id(), outgoing.vnet, std::vector<uint8_t>(bytes.begin(), bytes.end()), outgoing.frames()});
    peer.waiting_bytes += bytes.size();
  }
  while (peer.waiting.size() > kWaitingFramesMax || peer.waiting_bytes > kWaitingBytesMax) {
    peer.counters->send_drops.count(Drop::kWaitingOverflow, peer.waiting.front().frames);
    peer.waiting_bytes -= peer.waiting.front().bytes.size();
    peer.waiting.pop_front();
  }
  if (peer.wanted_us != 0 && now_us_ - peer.wanted_us < kWantedRepeatUs) return;
  peer.wanted_us = now_us_;
  events_.session_wanted(peer.id);
}

void SendLane::count_sent(Peer& peer, size_t frames, size_t bytes) {
  peer.counters->tx_frames.add(frames);
  peer.counters->tx_bytes.add(bytes);
  peer.counters->last_data_sent_us.set(now_us_);
}

void SendLane::inject(const Network& network, Bytes frame) {
  if (!network.port->write(frame)) counters_.send_drops.count(Drop::kInjectFailed);
}

SendLane::Peer* SendLane::find(PeerNumber number) {
  const auto found = peers_.find(number);
  return found == peers_.end() ? nullptr : &found->second;
}

void SendLane::add_peer(PeerNumber number, const PeerId& id, std::shared_ptr<PeerCounters> counters) {
  Peer peer{};
  peer.id = id;
  peer.counters = std::move(counters);
  peer.path_mtu = path_mtu_;
  measure(peer);
  peers_.emplace(number, std::move(peer));
}

void SendLane::remove_peer(PeerNumber number) {
  outbox_.flush();
  networks_.remove_peer(number);
  const auto found = peers_.find(number);
  if (found == peers_.end()) return;
  for (const WaitingFrame& frame : found->second.waiting) counters_.send_drops.count(Drop::kPeerRemoved, frame.frames);
  std::erase_if(sessions_, [number](const auto& entry) { return entry.second->peer == number; });
  peers_.erase(found);
}

void SendLane::add_session(uint32_t local_index, uint32_t remote_index, PeerNumber peer,
                           std::shared_ptr<Sealer> sealer) {
  remove_session(local_index);
  sessions_[local_index] = std::make_unique<Session>(Session{local_index, remote_index, peer, std::move(sealer)});
}

void SendLane::use_session(uint32_t local_index) {
  const auto found = sessions_.find(local_index);
  if (found == sessions_.end() || found->second->exhausted) return;
  Peer* peer = find(found->second->peer);
  if (peer == nullptr) return;
  now_us_ = now_us();
  peer->sending = found->second.get();
  std::deque<WaitingFrame> waiting;
  waiting.swap(peer->waiting);
  peer->waiting_bytes = 0;
  for (auto& frame : waiting) {
    Outgoing outgoing;
    outgoing.network = networks_.find(frame.network);
    if (outgoing.network == nullptr) counters_.send_drops.count(Drop::kNetworkUnknown, frame.frames);
    else if (!read(frame.bytes, frame.vnet, &outgoing)) send(*peer, outgoing);
  }
  outbox_.flush();
}

void SendLane::remove_session(uint32_t local_index) {
  const auto found = sessions_.find(local_index);
  if (found == sessions_.end()) return;
  Peer* peer = find(found->second->peer);
  if (peer != nullptr && peer->sending == found->second.get()) peer->sending = nullptr;
  sessions_.erase(found);
}

void SendLane::set_endpoint(PeerNumber number, const std::optional<Endpoint>& endpoint) {
  Peer* peer = find(number);
  if (peer == nullptr) return;
  peer->address.reset();
  if (endpoint) peer->address = outbox_.socket().address(*endpoint);
  peer->ipv4 = !endpoint || endpoint->ip.family == 4;
  measure(*peer);
}

void SendLane::set_path_mtu(PeerNumber number, size_t bytes) {
  Peer* peer = find(number);
  if (peer == nullptr) return;
  peer->path_mtu = std::clamp(bytes, kPathMtuMin, kPathMtuMax);
  measure(*peer);
}

void SendLane::measure(Peer& peer) { peer.body_max = peer.path_mtu - overhead_bytes(peer.ipv4); }

void SendLane::send_keepalive(PeerNumber number) { send_apart(number, Kind::kKeepalive, {}); }

void SendLane::send_probe(PeerNumber number, size_t bytes) {
  const Peer* peer = find(number);
  if (peer == nullptr) return;
  bytes = std::clamp(bytes, kPathMtuMin, kPathMtuMax);
  std::vector<uint8_t> body(bytes - overhead_bytes(peer->ipv4));
  store_u16(body.data(), static_cast<uint16_t>(bytes));
  send_apart(number, Kind::kProbe, body);
}

void SendLane::answer_probe(PeerNumber number, uint16_t bytes) {
  uint8_t body[kProbeBytesMin];
  store_u16(body, bytes);
  send_apart(number, Kind::kProbeAnswer, body);
}

void SendLane::send_apart(PeerNumber number, Kind kind, Bytes body) {
  Peer* peer = find(number);
  if (peer != nullptr) retire_used_up(*peer);
  if (peer == nullptr || peer->sending == nullptr || !peer->address) return;
  Inner inner;
  inner.kind = static_cast<uint8_t>(kind);
  inner.network = networks_.main().id();
  uint8_t prefix[kInnerBytes];
  write_inner(prefix, inner);
  seal(*peer, *peer->address, reserve(*peer, 1), prefix, body);
  outbox_.flush();
}

void SendLane::announce(const Network& network, const Ip& ip, Mac mac) {
  const PeerNumber* owner = network.table.owner(mac);
  if (owner != nullptr && *owner == kLocal) return;
  if (announcements_.take(now_us())) inject(network, announce_neighbour(ip, mac));
}

}  // namespace fabric::engine
