// See networks.h.
#include "networks.h"

namespace fabric::engine {

Networks::Networks(const NetworkFacts& facts, Port& port) {
  // Shares nothing: the caller owns the port.
  std::shared_ptr<Port> borrowed(std::shared_ptr<void>(), &port);
  main_ = &networks_.emplace(facts.network, Network{Table(facts), std::move(borrowed)}).first->second;
}

Network& Networks::put(NetworkFacts facts, std::shared_ptr<Port> port) {
  const auto found = networks_.find(facts.network);
  if (found == networks_.end()) {
    const uint32_t id = facts.network;
    return networks_.emplace(id, Network{Table(std::move(facts)), std::move(port)}).first->second;
  }
  found->second.table.set_facts(std::move(facts));
  found->second.port = std::move(port);
  return found->second;
}

std::vector<Networks::Announcement> Networks::replace(std::map<uint32_t, Network> next) {
  std::erase_if(networks_, [&](const auto& entry) { return &entry.second != main_ && !next.contains(entry.first); });
  std::vector<Announcement> announcements;
  for (auto& [id, wanted] : next) {
    Network* known = find(id);
    if (known == nullptr) known = &put(wanted.table.facts(), wanted.port);
    else if (known != main_) known->port = std::move(wanted.port);
    for (const auto& [ip, mac] : known->table.replace(std::move(wanted.table))) announcements.push_back({known, ip, mac});
  }
  return announcements;
}

void Networks::remove(uint32_t id) {
  if (id != main_->id()) networks_.erase(id);
}

void Networks::remove_peer(PeerNumber peer) {
  for (auto& [id, network] : networks_) network.table.remove_peer(peer);
}

}  // namespace fabric::engine
