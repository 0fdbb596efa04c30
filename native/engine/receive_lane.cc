// See receive_lane.h.
#include "receive_lane.h"

#include <netinet/udp.h>
#include <sys/socket.h>

namespace fabric::engine {
namespace {

// Our tuning: what is received before commands and the other lane get their turn: receives of kBuffers datagrams (or trains of
// them), or bytes, which fit into a core's cache.
constexpr int kBatch = 8;
constexpr size_t kBatchBytes = 512 * 1024;
constexpr size_t kVlanTagBytesMax = kVlanTagsMax * kVlanBytes;
// Our tuning: a peer that flaps between two endpoints is followed at once, but reported this often at most.
constexpr uint64_t kRoamedRepeatUs = 1'000'000;

#ifndef UDP_GRO
#define UDP_GRO 104
#endif

size_t segment_bytes(msghdr& message, size_t whole) {
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_UDP || header->cmsg_type != UDP_GRO) continue;
    int bytes = 0;
    memcpy(&bytes, CMSG_DATA(header), sizeof bytes);
    if (bytes > 0) return static_cast<size_t>(bytes);
  }
  return whole;
}

}  // namespace

ReceiveLane::ReceiveLane(const LaneFacts& facts, const LaneParts& parts, Tell tell)
    : networks_(facts.network, parts.port),
      self_(facts.self),
      socket_(parts.socket),
      events_(parts.events),
      counters_(parts.counters),
      relay_ring_(parts.relay_ring),
      tell_(std::move(tell)),
      run_(parts.port.features().tcp4_bytes_max),
      now_us_(now_us()),
      buffers_(new uint8_t[kBuffers * kBufferBytes]) {}

bool ReceiveLane::serve() {
  bool worked = false;
  mmsghdr messages[kBuffers];
  iovec parts[kBuffers];
  SocketAddress from[kBuffers];
  alignas(cmsghdr) uint8_t control[kBuffers][CMSG_SPACE(sizeof(int))];
  size_t batch_bytes = 0;
  for (int i = 0; i < kBatch && batch_bytes < kBatchBytes; i++) {
    for (size_t k = 0; k < kBuffers; k++) {
      parts[k] = {buffers_.get() + k * kBufferBytes, kBufferBytes};
      messages[k] = {};
      messages[k].msg_hdr = {&from[k].generic, sizeof from[k].v6, &parts[k], 1, control[k], sizeof control[k], 0};
    }
    const int received = recvmmsg(socket_.fd(), messages, kBuffers, MSG_DONTWAIT, nullptr);
    if (received < 0 && errno != EAGAIN && errno != EINTR) counters_.receive_drops.count(Drop::kReceiveFailed);
    if (received <= 0) break;
    worked = true;
    now_us_ = now_us();
    for (int k = 0; k < received; k++) {
      const size_t bytes = messages[k].msg_len;
      batch_bytes += bytes;
      from[k].size = messages[k].msg_hdr.msg_namelen;
      const size_t step = segment_bytes(messages[k].msg_hdr, bytes);
      uint8_t* start = buffers_.get() + static_cast<size_t>(k) * kBufferBytes;
      const Arrival arrival{.address = &from[k]};
      if (bytes == 0) receive(MutableBytes(start, 0), arrival);
      for (size_t at = 0; at < bytes; at += step) {
        receive(MutableBytes(start + at, std::min(step, bytes - at)), arrival);
      }
    }
    write_run();
    if (static_cast<size_t>(received) < kBuffers) break;
  }
  if (!worked && pieces_wait_) expire_pieces();
  if (relayed_) tell_.relayed();
  relayed_ = false;
  return worked;
}

void ReceiveLane::source_failed() {
  int error = 0;
  socklen_t size = sizeof error;
  getsockopt(socket_.fd(), SOL_SOCKET, SO_ERROR, &error, &size);
  counters_.receive_drops.count(Drop::kReceiveFailed);
}

void ReceiveLane::expire_pieces() {
  now_us_ = now_us();
  pieces_wait_ = false;
  for (auto& [number, peer] : peers_) {
    peer.assembly->expire(now_us_);
    pieces_wait_ = pieces_wait_ || !peer.assembly->empty();
  }
}

void ReceiveLane::receive(MutableBytes datagram, const Arrival& arrival) {
  const uint8_t first = datagram.empty() ? 0 : datagram[0];
  if (first == kDataFirstByte) {
    receive_data(datagram, arrival);
  } else if (first >> 4 != kWireVersion) {
    counters_.receive_drops.count(Drop::kDatagramVersion);
  } else if ((first & 0x0f) == 0 || (first & 0x0f) > 4) {
    counters_.receive_drops.count(Drop::kDatagramType);
  } else if (datagram.size() > kHandshakeBytesMax) {
    counters_.receive_drops.count(Drop::kDatagramMalformed);
  } else {
    events_.handshake(datagram, arrival.relay != nullptr ? Path(*arrival.relay) : UdpSocket::endpoint(*arrival.address));
  }
}

void ReceiveLane::receive_data(MutableBytes datagram, const Arrival& arrival) {
  if (datagram.size() < kSealBytes || load_u24(datagram.data() + 1) != 0) {
    counters_.receive_drops.count(Drop::kDatagramMalformed);
    return;
  }
  const auto found = sessions_.find(load_u32(datagram.data() + 4));
  if (found == sessions_.end()) {
    counters_.receive_drops.count(Drop::kSessionUnknown);
    return;
  }
  Session& session = *found->second;
  Peer& peer = *session.peer;
  DropCounts& drops = peer.counters->receive_drops;
  if (arrival.relay != nullptr && arrival.relay->peer != peer.id) return drops.count(Drop::kRelaySource);
  const uint64_t counter = load_u64(datagram.data() + 8);
  if (counter > kCounterMax) return drops.count(Drop::kDatagramMalformed);
  const auto verdict = session.window.check(counter);
  if (verdict == ReplayWindow::Verdict::kReplayed) return drops.count(Drop::kReplayed);
  if (verdict == ReplayWindow::Verdict::kTooOld) return drops.count(Drop::kTooOld);
  const MutableBytes sealed = datagram.subspan(kOuterBytes);
  if (!session.opener->open(counter, datagram.first(kOuterBytes), sealed)) {
    return drops.count(Drop::kAuthenticationFailed);
  }
  peer.counters->last_received_us.set(now_us_);
  if (session.window.mark(counter) && arrival.relay == nullptr) follow(peer, *arrival.address);
  if (!session.confirmed) {
    session.confirmed = true;
    events_.session_confirmed(session.local_index);
  }
  unpack(session, counter, sealed.first(sealed.size() - kTagBytes), arrival);
}

// Only the newest datagram of a session says where its peer is; whom a relay reaches, a handshake alone moves.
void ReceiveLane::follow(Peer& peer, const SocketAddress& from) {
  const bool same = peer.address && *peer.address == from;
  if (same && peer.settled) return;
  if (peer.relayed) return;
  const Endpoint endpoint = UdpSocket::endpoint(from);
  if (!same) {
    peer.address = from;
    tell_.moved(peer.number, endpoint);
  }
  peer.settled = peer.reported && *peer.reported == endpoint;
  if (peer.settled) return;
  if (peer.roamed_us != 0 && now_us_ - peer.roamed_us < kRoamedRepeatUs) return;
  peer.roamed_us = now_us_;
  peer.reported = endpoint;
  peer.settled = true;
  events_.roamed(peer.id, endpoint);
}

void ReceiveLane::unpack(Session& session, uint64_t counter, MutableBytes plain, const Arrival& arrival) {
  Peer& peer = *session.peer;
  DropCounts& drops = peer.counters->receive_drops;
  Inner inner;
  if (!read_inner(plain, &inner)) return drops.count(Drop::kInnerMalformed);
  const auto kind = static_cast<Kind>(inner.kind);
  if (kind == Kind::kKeepalive) return;
  if (kind == Kind::kProbe || kind == Kind::kProbeAnswer) return take_probe(peer, kind, plain.subspan(kInnerBytes));
  if (kind != Kind::kFrame && kind != Kind::kSegment && kind != Kind::kFragment) {
    if (kind == Kind::kRelay) return take_relayed(peer, inner.hop_limit, plain.subspan(kInnerBytes), arrival);
    return drops.count(Drop::kKindUnsupported);
  }
  const Network* found = networks_.find(inner.network);
  if (found == nullptr) return drops.count(Drop::kNetworkUnknown);
  const Network& network = *found;
  if (inner.hop_limit == 0) return drops.count(Drop::kHopLimitReached);
  peer.counters->last_data_received_us.set(now_us_);
  const MutableBytes body = plain.subspan(kInnerBytes);
  const bool partial = (inner.flags & kFlagPartialChecksum) != 0;
  const Port::Features& features = network.port->features();
  if (kind == Kind::kSegment && partial && inner.count > 1 && features.vnet) {
    take_segment(session, network, counter, inner, body);
    return;
  }
  if (kind == Kind::kFrame && partial && features.uso) return take_datagram(peer, network, body);
  write_run();
  if (kind != Kind::kFragment) return deliver(peer, network, body, partial);
  auto whole = peer.assembly->add({session.local_index, counter, inner.index, inner.count, body}, now_us_);
  if (whole) deliver(peer, network, *whole, partial);
  pieces_wait_ = pieces_wait_ || !peer.assembly->empty();
}

void ReceiveLane::take_probe(Peer& peer, Kind kind, Bytes body) {
  DropCounts& drops = peer.counters->receive_drops;
  if (body.size() < kProbeBytesMin) return drops.count(Drop::kInnerMalformed);
  const uint16_t bytes = load_u16(body.data());
  TokenBucket& limit = kind == Kind::kProbe ? peer.probes : peer.probe_answers;
  if (!limit.take(now_us_)) return drops.count(Drop::kProbeLimit);
  if (kind == Kind::kProbe) events_.probed(peer.number, bytes);
  else events_.probe_answered(peer.id, bytes);
}

// What is for this host is opened where it lies; what is for another goes to the send lane.
void ReceiveLane::take_relayed(Peer& peer, uint8_t hop_limit, MutableBytes body, const Arrival& arrival) {
  DropCounts& drops = peer.counters->receive_drops;
  const auto relayed = Relayed::read(body, hop_limit);
  if (!relayed) return drops.count(Drop::kInnerMalformed);
  const RelayVerdict verdict = decide_relayed(*relayed, {self_, peer.id, arrival.relay != nullptr});
  if (verdict.kind == RelayVerdict::Kind::kDrop) return drops.count(verdict.reason);
  peer.counters->last_data_received_us.set(now_us_);
  if (verdict.kind == RelayVerdict::Kind::kDeliver) {
    counters_.relayed.received_datagrams.add();
    counters_.relayed.received_bytes.add(relayed->datagram.size());
    const RelayPath path{peer.id, relayed->source};
    return receive(relayed->datagram, {.relay = &path});
  }
  if (!relay_ring_.put({peer.number, *relayed})) return drops.count(Drop::kRelayOverflow);
  relayed_ = true;
}

void ReceiveLane::take_segment(Session& session, const Network& network, uint64_t counter, const Inner& inner,
                               MutableBytes body) {
  Peer& peer = *session.peer;
  count_received(peer, body.size());
  // One number names the superframe well enough, because the headers are compared, too.
  const uint64_t whole = (counter - inner.index) ^ static_cast<uint64_t>(session.local_index) << 32;
  if (continues_run(peer, network) && run_.append(body, inner, whole)) return;
  write_run();
  const auto frame = admit(peer, network, body);
  if (!frame) return;
  begin_run(peer, network);
  if (!run_.start(*frame, inner, whole, network.port->features().uso)) inject(peer, network, *frame, body, true);
}

// Datagrams of one flow go to the port as one superframe: its receiver is spared the way through the bridge for each.
void ReceiveLane::take_datagram(Peer& peer, const Network& network, MutableBytes body) {
  count_received(peer, body.size());
  if (continues_run(peer, network) && run_.append_datagram(body)) return;
  write_run();
  const auto frame = admit(peer, network, body);
  if (!frame) return;
  begin_run(peer, network);
  if (!run_.start_datagrams(*frame)) inject(peer, network, *frame, body, true);
}

void ReceiveLane::deliver(Peer& peer, const Network& network, MutableBytes bytes, bool partial) {
  count_received(peer, bytes.size());
  const auto frame = admit(peer, network, bytes);
  if (frame) inject(peer, network, *frame, bytes, partial);
}

void ReceiveLane::count_received(Peer& peer, size_t bytes) {
  peer.counters->rx_frames.add();
  peer.counters->rx_bytes.add(bytes);
}

std::optional<Frame> ReceiveLane::admit(Peer& peer, const Network& network, Bytes bytes) {
  const auto frame = Frame::read(bytes);
  const Drop dropped =
      frame ? decide_from_peer(*frame, frame->packet_bytes(), peer.number, network.table) : Drop::kFrameShort;
  if (dropped == Drop::kNone) return frame;
  peer.counters->receive_drops.count(dropped);
  return std::nullopt;
}

void ReceiveLane::inject(Peer& peer, const Network& network, const Frame& frame, MutableBytes bytes, bool partial) {
  VnetHeader vnet;
  if (partial && !finish_checksum(*network.port, frame, bytes, &vnet)) {
    return peer.counters->receive_drops.count(Drop::kChecksumImpossible);
  }
  iovec parts[2] = {{}, {bytes.data(), bytes.size()}};
  if (network.port->write(vnet, parts)) {
    counters_.frames_out.add();
  } else {
    peer.counters->receive_drops.count(Drop::kInjectFailed);
  }
}

// Leaves it to the kernel where the port has a virtio-net header. False when there is no checksum to finish.
bool ReceiveLane::finish_checksum(const Port& port, const Frame& frame, MutableBytes bytes, VnetHeader* vnet) {
  if (!port.features().vnet) return complete_checksum(bytes);
  const auto upper = find_upper_layer(frame);
  const size_t field = upper && !upper->fragment ? checksum_field(*upper) : 0;
  if (field == 0) return false;
  // Not the sender's word: a wrong sum would be the receiver's mistake to search for.
  const uint16_t sum = pseudo_sum(bytes.data() + frame.l3, upper->family, upper->protocol, upper->size());
  store_u16(bytes.data() + field, sum);
  vnet->flags = kVnetNeedsChecksum;
  vnet->csum_start = static_cast<uint16_t>(upper->offset);
  vnet->csum_offset = static_cast<uint16_t>(field - upper->offset);
  return true;
}

void ReceiveLane::write_run() {
  if (run_.empty()) return;
  const size_t count = run_.count();
  const auto output = run_.finish();
  if (run_network_->port->write(output.vnet, output.parts)) {
    counters_.frames_out.add(count);
  } else {
    run_peer_->counters->receive_drops.count(Drop::kInjectFailed, count);
  }
  run_.clear();
}

void ReceiveLane::add_peer(PeerNumber number, const PeerId& id, std::shared_ptr<PeerCounters> counters) {
  if (peers_.contains(number)) return;
  Peer peer{};
  peer.id = id;
  peer.number = number;
  peer.assembly =
      std::make_unique<PieceAssembly>(networks_.main().table.facts().mtu + kEthernetBytes + kVlanTagBytesMax, &counters->receive_drops);
  peer.counters = std::move(counters);
  peers_.emplace(number, std::move(peer));
}

void ReceiveLane::remove_peer(PeerNumber number) {
  networks_.remove_peer(number);
  std::erase_if(sessions_, [number](const auto& entry) { return entry.second->peer->number == number; });
  peers_.erase(number);
}

void ReceiveLane::add_session(uint32_t local_index, PeerNumber number, std::shared_ptr<Opener> opener) {
  const auto found = peers_.find(number);
  if (found == peers_.end()) return;
  sessions_[local_index] =
      std::make_unique<Session>(Session{local_index, &found->second, std::move(opener), {}, false});
}

void ReceiveLane::remove_session(uint32_t local_index) { sessions_.erase(local_index); }

void ReceiveLane::set_path(PeerNumber number, const std::optional<Path>& path) {
  const auto found = peers_.find(number);
  if (found == peers_.end()) return;
  Peer& peer = found->second;
  const auto* endpoint = path ? std::get_if<Endpoint>(&*path) : nullptr;
  peer.relayed = path && endpoint == nullptr;
  peer.address.reset();
  peer.reported.reset();
  if (endpoint != nullptr) {
    peer.address = socket_.address(*endpoint);
    peer.reported = *endpoint;
  }
  peer.settled = false;
}

}  // namespace fabric::engine
