// The engine's tables: the daemon's changes of networks, MACs, neighbours and flood lists, on their way to the lanes. Each lane
// has its own and hears of a change between two batches of frames.
#include "engine.h"

namespace fabric::engine {

void Engine::apply(const ApplyTables& command) {
  for (const TableChange& change : command.changes) {
    if (staged_) stage_change(change);
    else apply_change(change);
  }
}

void Engine::apply_change(const TableChange& change) {
  const uint32_t id = change.network;
  switch (change.kind) {
    case TableChange::Kind::kNetwork: {
      const auto port = open_port(change);
      if (!port) return;
      send_.post([this, facts = facts_of(change), port] { send_.put_network(facts, port); });
      receive_.post([this, facts = facts_of(change), port] { receive_.networks().put(facts, port); });
      return;
    }
    case TableChange::Kind::kNetworkGone:
      send_.post([this, id] { send_.remove_network(id); });
      receive_.post([this, id] { receive_.networks().remove(id); });
      return;
    case TableChange::Kind::kMac: {
      const PeerNumber owner = change.peer ? number_of(*change.peer) : kLocal;
      on_send(id, [this, mac = change.mac, owner](Network& network) {
        if (!network.table.put_mac(mac, owner)) counters_.send_drops.count(Drop::kTableFull);
      });
      on_receive(id, [mac = change.mac, owner](Network& network) { network.table.put_mac(mac, owner); });
      return;
    }
    case TableChange::Kind::kMacGone:
      on_lanes(id, [mac = change.mac](Network& network) { network.table.delete_mac(mac); });
      return;
    case TableChange::Kind::kNeighbour:
      on_send(id, [this, ip = change.ip, mac = change.mac](Network& network) {
        const auto put = network.table.put_neighbour(ip, mac);
        if (put == Table::Put::kFull) counters_.send_drops.count(Drop::kTableFull);
        if (put == Table::Put::kAnnounce) send_.announce(network, ip, mac);
      });
      on_receive(id, [ip = change.ip, mac = change.mac](Network& network) { network.table.put_neighbour(ip, mac); });
      return;
    case TableChange::Kind::kNeighbourGone:
      on_lanes(id, [ip = change.ip](Network& network) { network.table.delete_neighbour(ip); });
      return;
    case TableChange::Kind::kFlood:
      on_lanes(id, [peers = numbers_of(change.peers)](Network& network) { network.table.set_flood(peers); });
      return;
  }
}

void Engine::apply(const BeginTables&) {
  staged_.emplace();
  staged_->emplace(facts_.network.network, Network{Table(facts_.network), nullptr});
}

void Engine::stage_change(const TableChange& change) {
  if (change.kind == TableChange::Kind::kNetwork) {
    auto port = open_port(change);
    if (port) staged_->insert_or_assign(change.network, Network{Table(facts_of(change)), std::move(port)});
    return;
  }
  const auto found = staged_->find(change.network);
  // Changes of networks that this host has no part in are none of ours.
  if (found == staged_->end()) return;
  Table& table = found->second.table;
  const auto full = [this] { counters_.control_drops.count(Drop::kTableFull); };
  switch (change.kind) {
    case TableChange::Kind::kNetwork:
      return;
    case TableChange::Kind::kNetworkGone:
      if (change.network != facts_.network.network) staged_->erase(found);
      return;
    case TableChange::Kind::kMac:
      if (!table.put_mac(change.mac, change.peer ? number_of(*change.peer) : kLocal)) full();
      return;
    case TableChange::Kind::kMacGone:
      return table.delete_mac(change.mac);
    case TableChange::Kind::kNeighbour:
      if (table.put_neighbour(change.ip, change.mac) == Table::Put::kFull) full();
      return;
    case TableChange::Kind::kNeighbourGone:
      return table.delete_neighbour(change.ip);
    case TableChange::Kind::kFlood:
      return table.set_flood(numbers_of(change.peers));
  }
}

// Each lane swaps its tables between two batches of frames.
void Engine::apply(const EndTables&) {
  if (!staged_) return;
  auto for_sending = std::make_shared<std::map<uint32_t, Network>>(*staged_);
  auto for_receiving = std::make_shared<std::map<uint32_t, Network>>(std::move(*staged_));
  staged_.reset();
  send_.post([this, next = std::move(for_sending)] { send_.replace_networks(std::move(*next)); });
  receive_.post([this, next = std::move(for_receiving)] { receive_.networks().replace(std::move(*next)); });
}

// The daemon makes a TAP before it names it: one that can't be attached was taken away since, and the next engine gets another.
std::shared_ptr<Port> Engine::open_port(const TableChange& change) {
  if (change.network == facts_.network.network) return nullptr;
  std::erase_if(ports_, [](const auto& entry) { return entry.second.port.expired(); });
  const auto found = ports_.find(change.network);
  if (found != ports_.end() && found->second.name == change.port_name) {
    if (auto port = found->second.port.lock()) return port;
  }
  if (parts_.spares == nullptr) return nullptr;
  auto opened = parts_.spares->open(change.port_name);
  if (const Fault* fault = std::get_if<Fault>(&opened)) {
    failed(fault->why);
    return nullptr;
  }
  // The last of the lanes to let go of it gives its descriptor back.
  const auto give_back = [spares = parts_.spares, name = change.port_name](Port* port) {
    spares->give_back(std::move(*port), name);
    delete port;
  };
  std::shared_ptr<Port> port(new Port(std::get<Port>(std::move(opened))), give_back);
  ports_.insert_or_assign(change.network, NamedPort{change.port_name, port});
  return port;
}

NetworkFacts Engine::facts_of(const TableChange& change) const {
  return {change.network, change.mac, change.gateway_ips, facts_.network.mtu};
}

std::vector<PeerNumber> Engine::numbers_of(const std::vector<PeerId>& peers) {
  std::vector<PeerNumber> numbers;
  for (const PeerId& id : peers) numbers.push_back(number_of(id));
  return numbers;
}

void Engine::on_send(uint32_t network, std::function<void(Network&)> change) {
  send_.post([this, network, change = std::move(change)] {
    if (Network* known = send_.network(network)) change(*known);
  });
}

void Engine::on_receive(uint32_t network, std::function<void(Network&)> change) {
  receive_.post([this, network, change = std::move(change)] {
    if (Network* known = receive_.networks().find(network)) change(*known);
  });
}

void Engine::on_lanes(uint32_t network, const std::function<void(Network&)>& change) {
  on_send(network, change);
  on_receive(network, change);
}

}  // namespace fabric::engine
