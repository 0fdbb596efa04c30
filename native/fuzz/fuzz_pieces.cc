// Reassembly in the receive lane under pieces of several frames in any order, with gaps, contradictions, session changes and
// clock steps. What must hold: a frame is delivered only when all its pieces came within the time limit, unchanged and in
// their order, and no piece serves two frames.
#include <map>

#include "rig.h"

namespace fabric::fuzz {
namespace {

constexpr int kStepsMax = 200;
constexpr uint64_t kTimeoutUs = 1'000'000;
constexpr size_t kWholes = 8;

class Lane : public engine::ReceiveLane {
 public:
  using ReceiveLane::ReceiveLane;
  using ReceiveLane::serve;
};

struct Sent {
  uint64_t at_us;
  uint8_t count;
  std::vector<uint8_t> bytes;
};

class Scenario {
 public:
  Scenario()
      : lane_({network_facts(), kSelf},
              {port_.port(), wire_.socket(), events_, counters_, relay_ring_}, {[](auto, const auto&) {}, [] {}}) {
    engine::set_manual_clock(now_us_);
    fill(lane_.table());
    lane_.add_peer(0, kPeerIds[0], peer_);
    begin_session();
  }

  void step(Input& input) {
    const uint8_t choice = input.u8();
    if (choice < 16) {
      now_us_ += uint64_t{input.u8()} * 10'000;
      engine::set_manual_clock(now_us_);
      return lane_.expire_pieces();
    }
    if (choice == 16) return begin_session();
    send_piece(choice, input);
  }

 private:
  void begin_session() {
    index_++;
    sealer_ = sealer(kReceiveKey);
    lane_.add_session(index_, 0, opener(kReceiveKey));
    sent_.clear();
  }

  // Whole number w has the counters from 256 w on, so that counter - index names it; the frame's first bytes are headers.
  void send_piece(uint8_t choice, Input& input) {
    const uint8_t shape = input.u8();
    engine::Inner inner;
    inner.kind = static_cast<uint8_t>(engine::Kind::kFragment);
    inner.count = static_cast<uint8_t>(shape % 16);
    inner.index = inner.count == 0 ? 0 : (shape >> 4) % inner.count;
    const uint64_t first = uint64_t{256} * (choice % kWholes);
    const uint64_t counter = first + inner.index;
    Frame body;
    if (inner.index == 0) {
      body.resize(engine::kEthernetBytes);
      engine::store_mac(body.data(), kLocalMac);
      engine::store_mac(body.data() + 6, kPeerMacs[0]);
      engine::store_u16(body.data() + 12, 0x88b5);
    }
    const auto rest = input.take(choice >> 3);
    body.insert(body.end(), rest.begin(), rest.end());
    transmit(counter, inner, body);
    // A counter that came before is a replay.
    sent_.try_emplace(counter, Sent{now_us_, inner.count, body});
    check(first);
  }

  void transmit(uint64_t counter, const engine::Inner& inner, engine::Bytes body) {
    std::vector<uint8_t> plain(engine::kInnerBytes);
    engine::write_inner(plain.data(), inner);
    plain.insert(plain.end(), body.begin(), body.end());
    std::vector<uint8_t> datagram(engine::kOuterBytes + plain.size() + engine::kTagBytes);
    engine::write_outer(datagram.data(), index_, counter);
    sealer_->seal(counter, engine::Bytes(datagram).first(engine::kOuterBytes), {}, plain,
                  datagram.data() + engine::kOuterBytes);
    wire_.send(datagram, 0);
    require(wire_.arrived());
    lane_.serve();
  }

  // At most the whole that begins at this counter is delivered.
  void check(uint64_t first) {
    const auto message = port_.leave(engine::MutableBytes(buffer_, sizeof buffer_));
    if (!message) return;
    const auto frame = message->subspan(sizeof(engine::VnetHeader));
    std::vector<uint8_t> expected;
    const auto begin = sent_.find(first);
    require(begin != sent_.end());
    const uint8_t count = begin->second.count;
    for (uint64_t counter = first; counter < first + count; counter++) {
      const auto piece = sent_.find(counter);
      require(piece != sent_.end() && piece->second.count == count);
      require(now_us_ - piece->second.at_us <= kTimeoutUs);
      expected.insert(expected.end(), piece->second.bytes.begin(), piece->second.bytes.end());
      // It serves no other frame.
      piece->second.count = 0;
    }
    require(std::equal(frame.begin(), frame.end(), expected.begin(), expected.end()));
    require(!port_.leave(engine::MutableBytes(buffer_, sizeof buffer_)));
  }

  static inline uint8_t buffer_[engine::kPortBufferBytes];

  Wire& wire_ = Wire::instance();
  PortPair port_{{true, true, true, true}};
  CountedEvents events_;
  engine::EngineCounters counters_;
  engine::RelayRing relay_ring_;
  uint64_t now_us_ = kStartUs;
  uint32_t index_ = 0;
  std::shared_ptr<engine::Sealer> sealer_;
  std::shared_ptr<engine::PeerCounters> peer_ = std::make_shared<engine::PeerCounters>();
  // By counter, of the session in use.
  std::map<uint64_t, Sent> sent_;
  Lane lane_;
};

}  // namespace
}  // namespace fabric::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fabric::fuzz;
  Input input(data, size);
  Scenario scenario;
  for (int step = 0; step < kStepsMax && !input.empty(); step++) scenario.step(input);
  return 0;
}
