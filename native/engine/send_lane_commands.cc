// What the control thread asks of the send lane: its peers, sessions and paths, and single datagrams.
#include <algorithm>

#include "send_lane.h"

namespace fabric::engine {
namespace {

// As src/router/pcap/peer-link.ts.
constexpr size_t kPathMtuMin = 296;
constexpr size_t kPathMtuMax = 65535;

}  // namespace

void SendLane::add_peer(PeerNumber number, const PeerId& id, std::shared_ptr<PeerCounters> counters) {
  Peer peer{};
  peer.id = id;
  peer.counters = std::move(counters);
  peer.path_mtu = path_mtu_;
  measure(peer);
  peers_.emplace(number, std::move(peer));
  numbers_[id] = number;
}

void SendLane::remove_peer(PeerNumber number) {
  outbox_.flush();
  outbox_.abandon();
  networks_.remove_peer(number);
  const auto found = peers_.find(number);
  if (found == peers_.end()) return;
  numbers_.erase(found->second.id);
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

void SendLane::set_path(PeerNumber number, const std::optional<Path>& path) {
  Peer* peer = find(number);
  if (peer == nullptr) return;
  const auto* endpoint = path ? std::get_if<Endpoint>(&*path) : nullptr;
  const auto* relayed = path ? std::get_if<RelayPath>(&*path) : nullptr;
  peer->address.reset();
  peer->relay.reset();
  if (endpoint != nullptr) peer->address = outbox_.socket().address(*endpoint);
  if (relayed != nullptr) peer->relay = relayed->relay;
  peer->ipv4 = endpoint == nullptr || endpoint->ip.family == 4;
  measure(*peer);
}

void SendLane::move(PeerNumber number, const Endpoint& endpoint) {
  const Peer* peer = find(number);
  if (peer != nullptr && !peer->relay) set_path(number, endpoint);
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
  now_us_ = now_us();
  Peer* peer = find(number);
  if (peer != nullptr) retire_used_up(*peer);
  if (peer == nullptr || peer->sending == nullptr) return;
  Peer* next_hop = next_hop_of(*peer);
  if (next_hop == nullptr) {
    if (peer->relay) peer->counters->send_drops.count(Drop::kRelayUnreachable);
    return;
  }
  Inner inner;
  inner.kind = static_cast<uint8_t>(kind);
  inner.network = networks_.main().id();
  uint8_t prefix[kInnerBytes];
  write_inner(prefix, inner);
  seal(*peer, *next_hop, reserve(*peer, 1), prefix, body);
  outbox_.flush();
}

}  // namespace fabric::engine
