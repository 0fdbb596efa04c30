// See send_lane.h.
#include "send_lane.h"

#include <sys/epoll.h>

namespace fabric::engine {
namespace {

// Our tuning: what is read before commands and the other lane get their turn, whichever comes first. The bytes fit into a
// core's cache, and whoever waits for an acknowledgement waits for so much.
constexpr int kBatch = 64;
constexpr size_t kBatchBytes = 512 * 1024;
// Of several ports, so many are served in one turn; the kernel lets the others come first in the next.
constexpr int kReadyPortsMax = 16;
// As src/router/pcap: how many unknown destinations are copied to everybody, how often oversize is answered, and so on.
constexpr double kStrangersWantedPerSecond = 10;
constexpr double kUnknownUnicastPerSecond = 1000;
constexpr double kTooBigPerSecond = 100;
constexpr double kTooBigBurst = 50;
constexpr double kAnnouncementsPerSecond = 1000;

}  // namespace

SendLane::SendLane(const Facts& facts, const LaneParts& parts)
    : networks_(facts.network, parts.port),
      ports_(epoll_create1(EPOLL_CLOEXEC)),
      self_(facts.self),
      path_mtu_(facts.path_mtu),
      events_(parts.events),
      counters_(parts.counters),
      relay_ring_(parts.relay_ring),
      outbox_(parts.socket),
      strangers_wanted_(kStrangersWantedPerSecond, kStrangersWantedPerSecond),
      unknown_unicast_(kUnknownUnicastPerSecond, kUnknownUnicastPerSecond),
      too_big_answers_(kTooBigPerSecond, kTooBigBurst),
      announcements_(kAnnouncementsPerSecond, kAnnouncementsPerSecond),
      now_us_(now_us()),
      buffer_(new uint8_t[kPortBufferBytes]),
      cut_(new uint8_t[kPortBufferBytes]),
      sealed_(new uint8_t[kDatagramMax]) {
  watch_port(networks_.main());
}

bool SendLane::serve() {
  now_us_ = now_us();
  // Frames stay in their ports while the uplink takes nothing: the other lane does not wait for it.
  outbox_.flush();
  if (outbox_.waiting()) return false;
  bool worked = networks_.several() ? drain_ready() : drain(networks_.main());
  if (!relay_ring_.empty()) {
    worked = true;
    relay_ring_.take_while([this](const RelayRing::Passage& passage) {
      pass_on(passage);
      return !outbox_.waiting();
    });
  }
  outbox_.flush();
  return worked;
}

pollfd SendLane::source() const {
  if (outbox_.waiting()) return {outbox_.socket().fd(), POLLOUT, 0};
  return {networks_.several() ? ports_.get() : networks_.main().port->fd(), POLLIN, 0};
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
  for (int i = 0; i < kBatch && bytes < kBatchBytes && !outbox_.waiting(); i++) {
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
  // An error of the socket comes with the next datagram.
  if (failed_ || outbox_.waiting()) return;
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

void SendLane::inject(const Network& network, Bytes frame) {
  if (!network.port->write(frame)) counters_.send_drops.count(Drop::kInjectFailed);
}

SendLane::Peer* SendLane::find(PeerNumber number) {
  const auto found = peers_.find(number);
  return found == peers_.end() ? nullptr : &found->second;
}

void SendLane::announce(const Network& network, const Ip& ip, Mac mac) {
  const PeerNumber* owner = network.table.owner(mac);
  if (owner != nullptr && *owner == kLocal) return;
  if (announcements_.take(now_us())) inject(network, announce_neighbour(ip, mac));
}

}  // namespace fabric::engine
