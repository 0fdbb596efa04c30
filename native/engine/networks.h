// The networks of one lane: of each its tables and the port to its bridge. The lanes share ports, not tables. Invariant: the
// main network, that of the engine's options, is always there; what no network is known for is nobody's and crosses nowhere.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "port.h"
#include "table.h"

namespace fabric::engine {

struct Network {
  Table table;
  std::shared_ptr<Port> port;

  uint32_t id() const { return table.facts().network; }
};

class Networks {
 public:
  // `port` is the caller's and outlives this.
  Networks(const NetworkFacts& facts, Port& port);

  Network& main() { return *main_; }
  const Network& main() const { return *main_; }
  // Null when this host has no part in it. Valid until `remove`.
  Network* find(uint32_t id) {
    if (id == main_->id()) return main_;
    const auto found = networks_.find(id);
    return found == networks_.end() ? nullptr : &found->second;
  }
  // True when there are others than the main one.
  bool several() const { return networks_.size() > 1; }

  // New, with empty tables, or with these facts and this port from now on.
  Network& put(NetworkFacts facts, std::shared_ptr<Port> port);
  // Becomes `next`; the main one stays, and its port. Returns of the networks whose bridge must hear of it which addresses have
  // another MAC now.
  struct Announcement {
    const Network* network;
    Ip ip;
    Mac mac;
  };
  std::vector<Announcement> replace(std::map<uint32_t, Network> next);
  // The main one stays.
  void remove(uint32_t id);
  // Forgets the peer's MACs and its place in the flood lists.
  void remove_peer(PeerNumber peer);

  std::map<uint32_t, Network>& all() { return networks_; }

 private:
  // Its entries keep their places.
  std::map<uint32_t, Network> networks_;
  Network* main_;
};

}  // namespace fabric::engine
