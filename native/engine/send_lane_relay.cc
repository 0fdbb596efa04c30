// The send lane's part in relaying: datagrams of its own to peers behind a relay, and those of others that this host passes on.
// Both go inside datagrams of a session with a peer that is reached directly, and are data of that session.
#include "send_lane.h"

namespace fabric::engine {
namespace {

// From the Datapath contract: a session is asked for at most once per peer and second.
constexpr uint64_t kWantedRepeatUs = 1'000'000;

}  // namespace

SendLane::Peer* SendLane::next_hop_of(Peer& peer) {
  if (peer.address) return &peer;
  return peer.relay ? carrier(*peer.relay) : nullptr;
}

SendLane::Peer* SendLane::carrier(const PeerId& id) {
  Peer* peer = find(id);
  if (peer != nullptr) retire_used_up(*peer);
  if (peer != nullptr && peer->sending != nullptr && peer->address) return peer;
  want_relay(id);
  return nullptr;
}

void SendLane::pass_on(const RelayRing::Passage& passage) {
  const Peer* from = find(passage.from);
  DropCounts* drops = from == nullptr ? &counters_.send_drops : &from->counters->send_drops;
  Relayed relayed = passage.relayed;
  const Peer* destination = find(relayed.destination);
  const PeerId onward = destination != nullptr && destination->relay ? *destination->relay : relayed.destination;
  const bool back = from != nullptr && onward == from->id;
  Peer* next_hop = back ? nullptr : carrier(onward);
  if (next_hop == nullptr) return drops->count(Drop::kRelayUnreachable);
  relayed.hop_limit--;
  if (!wrap(*next_hop, relayed, drops)) return;
  counters_.relayed.forwarded_datagrams.add();
  counters_.relayed.forwarded_bytes.add(relayed.datagram.size());
}

void SendLane::send_raw(const RelayPath& path, MutableBytes datagram) {
  now_us_ = now_us();
  Peer* relay = carrier(path.relay);
  if (relay == nullptr) return counters_.send_drops.count(Drop::kRelayUnreachable);
  send_by_relay(*relay, path.peer, datagram, &counters_.send_drops);
  outbox_.flush();
}

void SendLane::send_by_relay(Peer& relay, const PeerId& destination, MutableBytes datagram, DropCounts* drops) {
  if (!wrap(relay, {destination, self_, kHopLimit, datagram}, drops)) return;
  counters_.relayed.sent_datagrams.add();
  counters_.relayed.sent_bytes.add(datagram.size());
}

bool SendLane::wrap(Peer& next_hop, const Relayed& relayed, DropCounts* drops) {
  const size_t body_bytes = kRelayHeaderBytes + relayed.datagram.size();
  if (body_bytes > next_hop.body_max) {
    drops->count(Drop::kRelayTooLarge);
    return false;
  }
  Inner inner;
  inner.kind = static_cast<uint8_t>(Kind::kRelay);
  inner.hop_limit = relayed.hop_limit;
  uint8_t prefix[kInnerBytes + kRelayHeaderBytes];
  write_inner(prefix, inner);
  memcpy(prefix + kInnerBytes, relayed.destination.data(), sizeof(PeerId));
  memcpy(prefix + kInnerBytes + sizeof(PeerId), relayed.source.data(), sizeof(PeerId));
  seal(next_hop, next_hop, reserve(next_hop, 1), prefix, relayed.datagram);
  next_hop.counters->last_data_sent_us.set(now_us_);
  return true;
}

void SendLane::want(Peer& peer) {
  if (is_due(peer.wanted_us)) events_.session_wanted(peer.id);
}

void SendLane::want_relay(const PeerId& id) {
  Peer* peer = find(id);
  // A member can name anybody: nothing is remembered of whom the control side never named.
  const bool due = peer != nullptr ? is_due(peer->relay_wanted_us) : strangers_wanted_.take(now_us_);
  if (due) events_.relay_wanted(id);
}

bool SendLane::is_due(uint64_t& wanted_us) const {
  if (wanted_us != 0 && now_us_ - wanted_us < kWantedRepeatUs) return false;
  wanted_us = now_us_;
  return true;
}

SendLane::Peer* SendLane::find(const PeerId& id) {
  const auto found = numbers_.find(id);
  return found == numbers_.end() ? nullptr : find(found->second);
}

}  // namespace fabric::engine
