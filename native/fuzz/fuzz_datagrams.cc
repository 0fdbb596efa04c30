// The receive lane under a sequence of datagrams, clock steps and changes of peers and tables. Datagrams are arbitrary bytes,
// or sealed with the session's key around what the input wants, so that what lies behind authentication is reached; also inside of
// relayed ones. What must hold: the port gets well-formed frames only, each frame received went to the port or was counted as
// dropped, and what is to be passed on is what a relay may pass on.
#include "rig.h"

namespace fabric::fuzz {
namespace {

using engine::Drop;
using engine::Inner;
using engine::Kind;

constexpr int kStepsMax = 48;
constexpr size_t kTrainMax = 48;
// Beside the bit that names the peer.
constexpr uint8_t kRelayedChoice = 0x78;

class Lane : public engine::ReceiveLane {
 public:
  using ReceiveLane::ReceiveLane;
  using ReceiveLane::serve;
};

// Of a peer's side.
struct Session {
  uint32_t index;
  std::shared_ptr<engine::Sealer> sealer;
  uint64_t counter = 0;
};

class Scenario {
 public:
  explicit Scenario(uint8_t options)
      : features_{(options & 1) != 0, (options & 1) != 0, (options & 1) != 0, (options & 3) == 3},
        port_(features_),
        lane_({network_facts(), kSelf},
              {port_.port(), wire_.socket(), events_, counters_, relay_ring_}, {[](auto, const auto&) {}, [] {}}) {
    engine::set_manual_clock(now_us_);
    fill(lane_.table());
    for (engine::PeerNumber peer = 0; peer < 2; peer++) {
      peers_[peer] = std::make_shared<engine::PeerCounters>();
      lane_.add_peer(peer, kPeerIds[peer], peers_[peer]);
      begin_session(peer);
    }
  }

  void step(Input& input) {
    const uint8_t choice = input.u8();
    const engine::PeerNumber peer = choice >> 7;
    if ((choice & kRelayedChoice) == kRelayedChoice) return send_relayed(peer, input);
    switch (choice % 10) {
      case 0:
        return transmit(input.blob(), 0);
      case 1:
        return transmit(seal(peer, next(peer), input.blob()), 0);
      case 2:
        return send_frame(peer, input);
      case 3:
        return send_train(peer, input);
      case 4:
        return send_piece(peer, input);
      case 5:
        return send_damaged(peer, input);
      case 6:
        now_us_ += uint64_t{input.u16()} * 1000;
        engine::set_manual_clock(now_us_);
        return lane_.expire_pieces();
      case 7:
        return serve();
      case 8:
        lane_.table().put_mac(input.u8() % 2 == 0 ? kLocalMac : kPeerMacs[1], input.u8() % 2);
        return;
      default:
        serve();
        lane_.remove_session(sessions_[peer].index);
        begin_session(peer);
    }
  }

  void finish() {
    serve();
    uint64_t received = 0;
    uint64_t dropped = 0;
    for (const auto& peer : peers_) {
      received += peer->rx_frames.get();
      dropped += total(peer->receive_drops, Drop::kChecksumImpossible, Drop::kRedirect) +
                 total(peer->receive_drops, Drop::kInjectFailed, Drop::kInjectFailed);
    }
    require(received == counters_.frames_out.get() + dropped);
    require(left_ == counters_.frames_out.get());
    require(received <= sent_);
  }

 private:
  void begin_session(engine::PeerNumber peer) {
    sessions_[peer] = {++last_index_, sealer(kReceiveKey), 0};
    lane_.add_session(last_index_, peer, opener(kReceiveKey));
  }

  uint64_t next(engine::PeerNumber peer) { return sessions_[peer].counter++; }

  std::vector<uint8_t> seal(engine::PeerNumber peer, uint64_t counter, engine::Bytes plain) {
    std::vector<uint8_t> datagram(engine::kOuterBytes + plain.size() + engine::kTagBytes);
    engine::write_outer(datagram.data(), sessions_[peer].index, counter);
    sessions_[peer].sealer->seal(counter, engine::Bytes(datagram).first(engine::kOuterBytes), {}, plain,
                                 datagram.data() + engine::kOuterBytes);
    return datagram;
  }

  std::vector<uint8_t> seal(engine::PeerNumber peer, uint64_t counter, const Inner& inner, engine::Bytes body) {
    std::vector<uint8_t> plain(engine::kInnerBytes + body.size());
    engine::write_inner(plain.data(), inner);
    std::copy(body.begin(), body.end(), plain.begin() + engine::kInnerBytes);
    return seal(peer, counter, plain);
  }

  static Inner inner_of(Kind kind, uint8_t flags) {
    Inner inner;
    inner.kind = static_cast<uint8_t>(kind);
    inner.flags = flags & engine::kKnownFlags;
    return inner;
  }

  void send_frame(engine::PeerNumber peer, Input& input) {
    const Inner inner = inner_of(Kind::kFrame, input.u8());
    transmit(seal(peer, next(peer), inner, make_frame(input, kPeerMacs[peer], kLocalMac)), 0);
  }

  // Segments as a sender cuts them off a superframe, with one byte of one of them changed where the input says so.
  void send_train(engine::PeerNumber peer, Input& input) {
    const Frame frame = make_frame(input, kPeerMacs[peer], kLocalMac);
    engine::VnetHeader vnet;
    vnet.gso_type = input.u8() % 8;
    vnet.gso_size = static_cast<uint16_t>(1 + input.u8());
    const auto view = engine::Frame::read(frame);
    const auto upper = view ? engine::find_upper_layer(*view) : std::nullopt;
    if (!upper) return;
    vnet.csum_start = static_cast<uint16_t>(upper->offset);
    const auto superframe = engine::Superframe::read(*view, vnet);
    if (!superframe || superframe->header_bytes > engine::kHeaderMax) return;
    Inner inner = inner_of(Kind::kSegment, engine::kFlagPartialChecksum);
    const size_t count = std::min(superframe->count, kTrainMax);
    inner.count = static_cast<uint8_t>(count);
    inner.header_length = static_cast<uint8_t>(superframe->header_bytes + (input.u8() == 1 ? 1 : 0));
    const size_t changed = input.u8() % (2 * count);
    const size_t at = input.u16();
    const uint8_t by = input.u8();
    std::vector<uint8_t> train;
    size_t segment_bytes = 0;
    for (size_t index = 0; index < count; index++) {
      std::vector<uint8_t> segment(superframe->header_bytes);
      superframe->write_header(segment.data(), index);
      const auto payload = superframe->payload(index);
      segment.insert(segment.end(), payload.begin(), payload.end());
      if (index == changed) segment[at % segment.size()] ^= by;
      inner.index = static_cast<uint8_t>(index);
      const auto datagram = seal(peer, next(peer), inner, segment);
      if (segment_bytes == 0) segment_bytes = datagram.size();
      train.insert(train.end(), datagram.begin(), datagram.end());
    }
    sent_ += count - 1;
    transmit(train, segment_bytes);
  }

  void send_piece(engine::PeerNumber peer, Input& input) {
    Inner inner = inner_of(Kind::kFragment, input.u8());
    inner.count = input.u8() % 8;
    inner.index = inner.count == 0 ? 0 : input.u8() % inner.count;
    inner.hop_limit = input.u8() == 1 ? 0 : engine::kHopLimit;
    transmit(seal(peer, next(peer), inner, make_frame(input, kPeerMacs[peer], kLocalMac)), 0);
  }

  // From and to anybody, with a datagram of the other peer or any bytes inside.
  void send_relayed(engine::PeerNumber peer, Input& input) {
    const engine::PeerId ids[] = {kSelf, kPeerIds[0], kPeerIds[1], {0xd}};
    const uint8_t addresses = input.u8();
    std::vector<uint8_t> body;
    for (const engine::PeerId& id : {ids[addresses & 3], ids[addresses >> 2 & 3]}) {
      body.insert(body.end(), id.begin(), id.end());
    }
    const engine::PeerNumber far = 1 - peer;
    const auto bytes = input.blob();
    std::vector<uint8_t> inside(bytes.begin(), bytes.end());
    if ((addresses & 0x10) != 0) inside = seal(far, next(far), inside);
    if ((addresses & 0x20) != 0) {
      inside = seal(far, next(far), inner_of(Kind::kFrame, 0), make_frame(input, kPeerMacs[far], kLocalMac));
    }
    body.insert(body.end(), inside.begin(), inside.end());
    Inner inner = inner_of(Kind::kRelay, 0);
    inner.hop_limit = input.u8() % 10;
    transmit(seal(peer, next(peer), inner, body), 0);
  }

  // Replayed, forged, or of a counter of the input's own.
  void send_damaged(engine::PeerNumber peer, Input& input) {
    const uint64_t counter = input.u8() % 4 == 0 ? input.u64() : sessions_[peer].counter - input.u8();
    auto datagram = seal(peer, counter, inner_of(Kind::kFrame, 0), make_frame(input, kPeerMacs[peer], kLocalMac));
    datagram[input.u16() % datagram.size()] ^= input.u8() % 4 == 0 ? input.u8() : 0;
    transmit(datagram, 0);
  }

  void transmit(engine::Bytes datagrams, size_t segment_bytes) {
    if (datagrams.size() > engine::kSegmentedBytesMax) return;
    wire_.send(datagrams, segment_bytes);
    sent_++;
    unserved_ = true;
  }

  void serve() {
    if (unserved_) require(wire_.arrived());
    unserved_ = false;
    // A turn of a lane is bounded, and what it leaves would reach the next scenario.
    do {
      lane_.serve();
    } while (wire_.pending());
    relay_ring_.take_while([](const engine::RelayRing::Passage& passage) {
      const auto& [from, relayed] = passage;
      require(relayed.destination != kSelf && relayed.destination != kPeerIds[from] && relayed.source != kSelf);
      require(relayed.hop_limit > 0 && relayed.hop_limit <= engine::kHopLimit);
      require(relayed.hop_limit < engine::kHopLimit || relayed.source == kPeerIds[from]);
      require(!relayed.datagram.empty() && relayed.datagram[0] >> 4 == engine::kWireVersion);
      return true;
    });
    while (const auto message = port_.leave(engine::MutableBytes(buffer_, sizeof buffer_))) {
      left_ += check_port_message(*message, features_);
    }
  }

  static inline uint8_t buffer_[engine::kPortBufferBytes];
  Wire& wire_ = Wire::instance();
  engine::Port::Features features_;
  PortPair port_;
  CountedEvents events_;
  engine::EngineCounters counters_;
  engine::RelayRing relay_ring_;
  uint64_t now_us_ = kStartUs;
  // Indices of sessions are not used again.
  uint32_t last_index_ = 0;
  std::shared_ptr<engine::PeerCounters> peers_[2];
  Session sessions_[2];
  Lane lane_;
  size_t sent_ = 0;
  size_t left_ = 0;
  bool unserved_ = false;
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
