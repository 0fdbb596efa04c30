// What the control plane told the engine of one network: which MAC is behind which peer or on our bridge, which address has
// which MAC, who gets copies of broadcasts. Each lane (thread) has a table of its own and applies the same changes to it, so
// that a lookup takes no lock. Invariant: bounded; when full, new entries are refused and known ones stay.
#pragma once

#include <deque>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "bytes.h"

namespace fabric::engine {

// As src/router/forwarding-table.ts.
constexpr size_t kMacsMax = 262144;
constexpr size_t kNeighboursMax = 524288;
// Addresses without a MAC whose last MAC is remembered, to announce a change when they return.
constexpr size_t kFormerMax = 4096;

// A peer's number in this process; numbers of removed peers are not used again.
using PeerNumber = uint32_t;
constexpr PeerNumber kLocal = 0xffffffff;

struct NetworkFacts {
  uint32_t network = 0;
  Mac gateway_mac = 0;
  std::vector<Ip> gateway_ips;
  // Overlay MTU in bytes.
  size_t mtu = 0;
};

class Table {
 public:
  explicit Table(NetworkFacts facts) : facts_(std::move(facts)) {}

  const NetworkFacts& facts() const { return facts_; }
  void set_facts(NetworkFacts facts) { facts_ = std::move(facts); }

  // Null when the MAC is in no table.
  const PeerNumber* owner(Mac mac) const {
    const auto found = macs_.find(mac);
    return found == macs_.end() ? nullptr : &found->second;
  }
  std::optional<Mac> neighbour(const Ip& ip) const;
  bool is_gateway(const Ip& ip) const;
  const std::vector<PeerNumber>& flood() const { return flood_; }

  // False when the table is full.
  bool put_mac(Mac mac, PeerNumber owner);
  void delete_mac(Mac mac) { macs_.erase(mac); }

  enum class Put { kDone, kFull, kAnnounce };
  // kAnnounce: the bridge must hear that the address has another MAC now.
  Put put_neighbour(const Ip& ip, Mac mac);
  void delete_neighbour(const Ip& ip);
  void set_flood(std::vector<PeerNumber> peers);

  // Becomes `next`, but remembers which addresses had which MAC: returns those whose new MAC the bridge must hear of.
  std::vector<std::pair<Ip, Mac>> replace(Table next);

  // Forgets the peer's MACs and its place in the flood list.
  void remove_peer(PeerNumber peer);

 private:
  NetworkFacts facts_;
  std::unordered_map<Mac, PeerNumber, MacHash> macs_;
  std::unordered_map<Ip, Mac, IpHash> neighbours_;
  std::unordered_map<Ip, Mac, IpHash> former_;
  std::deque<Ip> former_order_;
  std::vector<PeerNumber> flood_;
};

}  // namespace fabric::engine
