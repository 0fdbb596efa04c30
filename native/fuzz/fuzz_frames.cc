// The send lane under a sequence of frames from the bridge (with a virtio-net header of any content), clock steps, path MTUs,
// sessions and paths that come and go, and datagrams of others to be passed on. What must hold: every datagram on the wire
// authenticates, also one inside of another, no counter of a session is used twice, what comes out of it is a well-formed frame
// again, and each frame in was sent, waits or is counted as dropped.
#include <set>

#include "../engine/pieces.h"
#include "rig.h"

namespace fabric::fuzz {
namespace {

using engine::Drop;

constexpr int kStepsMax = 48;
// Of the session with the relay, peer 1; those of the other count up from 1.
constexpr uint32_t kRelayIndex = 0xffffffff;
constexpr engine::PeerId kStranger = {0xd};
constexpr uint8_t kRelayChoice = 0xf0;

class Lane : public engine::SendLane {
 public:
  using SendLane::SendLane;
  using SendLane::serve;
};

// What a peer makes of the datagrams of one session.
struct Session {
  uint32_t index;
  std::shared_ptr<engine::Opener> opener;
  std::set<uint64_t> counters;
};

class Scenario {
 public:
  explicit Scenario(uint8_t options)
      : features_{(options & 1) != 0, (options & 1) != 0, (options & 1) != 0, (options & 1) != 0},
        port_(features_),
        lane_({{network_facts(), kSelf}}, {port_.port(), wire_.socket(), events_, counters_, relay_ring_}) {
    engine::set_manual_clock(now_us_);
    lane_.add_peer(0, kPeerIds[0], peer_);
    lane_.add_peer(1, kPeerIds[1], relay_);
    fill(lane_.table());
    // One peer, so that each frame has one fate.
    lane_.table().put_mac(kPeerMacs[1], 0);
    lane_.table().set_flood({0});
    if ((options & 2) == 0) lane_.set_path(0, wire_.endpoint());
    if ((options & 4) == 0) begin_session();
  }

  void step(Input& input) {
    const uint8_t choice = input.u8();
    if (choice >= kRelayChoice) return relay(choice - kRelayChoice, input);
    switch (choice % 10) {
      case 0:
        now_us_ += uint64_t{input.u16()} * 1000;
        return engine::set_manual_clock(now_us_);
      case 1:
        return lane_.set_path_mtu(0, input.u16());
      case 2:
        if (input.u8() % 2 == 0) return lane_.set_path(0, std::nullopt);
        return lane_.set_path(0, wire_.endpoint());
      case 3:
        begin_session();
        return hear();
      case 4:
        return lane_.remove_session(session_.index);
      case 5:
        keepalives_dropped_ -= unreachable();
        lane_.send_keepalive(0);
        keepalives_dropped_ += unreachable();
        return hear();
      case 6:
        lane_.announce(*lane_.network(network_facts().network), engine::Ip::read(kPeerIp, 4),
                       input.u64() & 0xffffffffffff);
        return;
      default:
        enter(input);
    }
  }

  void finish() {
    lane_.remove_peer(0);
    lane_.remove_peer(1);
    hear();
    // Those that still waited are counted as dropped with their peer.
    const uint64_t dropped = total(counters_.send_drops, Drop::kDatagramMalformed, Drop::kDaemonAbsent) -
                             announcements_failed() +
                             total(peer_->send_drops, Drop::kNoEndpoint, Drop::kPiecesLimit) + unreachable() -
                             keepalives_dropped_;
    require(counters_.frames_in.get() == peer_->tx_frames.get() + dropped);
  }

 private:
  // Answers and announcements to the bridge are no frames from it.
  uint64_t announcements_failed() const {
    return total(counters_.send_drops, Drop::kInjectFailed, Drop::kInjectFailed);
  }

  uint64_t unreachable() const { return total(peer_->send_drops, Drop::kRelayUnreachable, Drop::kRelayUnreachable); }

  void begin_session() {
    const uint32_t index = session_.index + 1;
    session_ = {index, opener(kSendKey), {}};
    lane_.add_session(index, index, 0, sealer(kSendKey));
    lane_.use_session(index);
  }

  // Peer 0 behind the relay, the relay with and without session and endpoint, and datagrams of both to be passed on.
  void relay(uint8_t choice, Input& input) {
    const auto bytes = choice % 6 < 4 ? engine::Bytes() : input.blob();
    std::vector<uint8_t> datagram(bytes.begin(), bytes.end());
    switch (choice % 6) {
      case 0:
        return lane_.set_path(0, engine::RelayPath{kPeerIds[1], kPeerIds[0]});
      case 1:
        lane_.set_path(1, wire_.endpoint());
        if (relay_session_.index == 0) lane_.add_session(kRelayIndex, kRelayIndex, 1, sealer(kReceiveKey));
        relay_session_.index = kRelayIndex;
        return lane_.use_session(kRelayIndex);
      case 2:
        return lane_.set_path(1, std::nullopt);
      case 3:
        return lane_.set_path_mtu(1, input.u16());
      case 4:
        lane_.send_raw({kPeerIds[1], kStranger}, datagram);
        return hear();
      default: {
        const engine::PeerId ids[] = {kPeerIds[0], kPeerIds[1], kStranger};
        const uint8_t shape = input.u8();
        relay_ring_.put({1, {ids[shape % 3], kStranger, static_cast<uint8_t>(1 + (shape >> 5)), datagram}});
        lane_.serve();
        return hear();
      }
    }
  }

  void enter(Input& input) {
    engine::VnetHeader vnet;
    vnet.flags = input.u8() % 2 == 0 ? engine::kVnetNeedsChecksum : 0;
    vnet.gso_type = input.u8() % 8;
    vnet.gso_size = input.u8() % 4 == 0 ? input.u8() : static_cast<uint16_t>(200 + input.u16() % 2000);
    vnet.csum_start = input.u8() % 4 == 1 ? input.u16() : 0;
    vnet.csum_offset = input.u8() % 4 == 1 ? input.u16() : 0;
    Frame frame = make_frame(input, kLocalMac, kPeerMacs[0]);
    // Superframes are long: the payload again and again.
    const size_t repeat = input.u8() % 8 == 1 ? input.u16() : 0;
    frame.resize(std::min<size_t>(frame.size() + repeat, engine::kPortBufferBytes - sizeof vnet), 0x5a);
    const auto view = engine::Frame::read(frame);
    const auto upper = view ? engine::find_upper_layer(*view) : std::nullopt;
    if (upper && vnet.csum_start == 0) {
      vnet.csum_start = static_cast<uint16_t>(upper->offset);
      const size_t field = engine::checksum_field(*upper);
      if (vnet.csum_offset == 0) vnet.csum_offset = static_cast<uint16_t>(field == 0 ? 0 : field - upper->offset);
    }
    std::vector<uint8_t> message;
    if (features_.vnet) message.resize(sizeof vnet);
    if (features_.vnet) memcpy(message.data(), &vnet, sizeof vnet);
    message.insert(message.end(), frame.begin(), frame.end());
    port_.enter(message);
    lane_.serve();
    hear();
    while (const auto answer = port_.leave(engine::MutableBytes(buffer_, sizeof buffer_))) {
      require(check_port_message(*answer, features_) == 1);
    }
  }

  void hear() {
    while (const auto datagram = wire_.receive(engine::MutableBytes(buffer_, sizeof buffer_))) receive(*datagram);
  }

  // `nested`: it came inside of another.
  void receive(engine::MutableBytes datagram, bool nested = false) {
    require(datagram.size() >= engine::kSealBytes && datagram[0] == engine::kDataFirstByte);
    const uint32_t index = engine::load_u32(datagram.data() + 4);
    // A session that has ended since has been heard to its end.
    require(index == session_.index || (index == kRelayIndex && !nested));
    Session& session = index == kRelayIndex ? relay_session_ : session_;
    const uint64_t counter = engine::load_u64(datagram.data() + 8);
    require(session.counters.insert(counter).second);
    const auto sealed = datagram.subspan(engine::kOuterBytes);
    require(session.opener->open(counter, datagram.first(engine::kOuterBytes), sealed));
    const auto plain = sealed.first(sealed.size() - engine::kTagBytes);
    engine::Inner inner;
    require(engine::read_inner(plain, &inner));
    const auto body = plain.subspan(engine::kInnerBytes);
    if (static_cast<engine::Kind>(inner.kind) == engine::Kind::kRelay) return receive_relayed(body, inner.hop_limit);
    require(inner.hop_limit == engine::kHopLimit);
    switch (static_cast<engine::Kind>(inner.kind)) {
      case engine::Kind::kKeepalive:
        return require(body.empty());
      case engine::Kind::kFrame:
        return require(engine::Frame::read(body).has_value());
      case engine::Kind::kSegment: {
        const auto frame = engine::Frame::read(body);
        const auto upper = frame ? engine::find_upper_layer(*frame) : std::nullopt;
        return require(upper && upper->offset < inner.header_length && inner.header_length <= upper->end);
      }
      case engine::Kind::kFragment:
        return require(inner.count >= 2 && !body.empty());
      default:
        require(false);
    }
  }

  // Of ours, to the peer or a stranger; else of the stranger, passed on.
  void receive_relayed(engine::MutableBytes body, uint8_t hop_limit) {
    require(body.size() >= engine::kRelayHeaderBytes);
    engine::PeerId ids[2];
    memcpy(ids, body.data(), sizeof ids);
    const auto& [destination, source] = ids;
    require((source == kSelf) == (hop_limit == engine::kHopLimit) && (source == kSelf || source == kStranger));
    if (source == kSelf && destination == kPeerIds[0]) receive(body.subspan(engine::kRelayHeaderBytes), true);
  }

  static inline uint8_t buffer_[engine::kPortBufferBytes];

  Wire& wire_ = Wire::instance();
  engine::Port::Features features_;
  PortPair port_;
  CountedEvents events_;
  engine::EngineCounters counters_;
  engine::RelayRing relay_ring_;
  uint64_t now_us_ = kStartUs;
  uint64_t keepalives_dropped_ = 0;
  std::shared_ptr<engine::PeerCounters> peer_ = std::make_shared<engine::PeerCounters>();
  std::shared_ptr<engine::PeerCounters> relay_ = std::make_shared<engine::PeerCounters>();
  Session session_{};
  Session relay_session_{0, opener(kReceiveKey), {}};
  Lane lane_;
};

}  // namespace
}  // namespace fabric::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fabric::fuzz;
  Input input(data, size);
  Scenario scenario(input.u8());
  for (int step = 0; step < kStepsMax && !input.empty(); step++) scenario.step(input);
  scenario.finish();
  return 0;
}
