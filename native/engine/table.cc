// See table.h.
#include "table.h"

#include <algorithm>

namespace fabric::engine {

std::optional<Mac> Table::neighbour(const Ip& ip) const {
  const auto found = neighbours_.find(ip);
  if (found == neighbours_.end()) return std::nullopt;
  return found->second;
}

bool Table::is_gateway(const Ip& ip) const {
  return std::find(facts_.gateway_ips.begin(), facts_.gateway_ips.end(), ip) != facts_.gateway_ips.end();
}

bool Table::put_mac(Mac mac, PeerNumber owner) {
  const auto found = macs_.find(mac);
  if (found != macs_.end()) {
    found->second = owner;
    return true;
  }
  if (macs_.size() >= kMacsMax) return false;
  macs_.emplace(mac, owner);
  return true;
}

Table::Put Table::put_neighbour(const Ip& ip, Mac mac) {
  const auto found = neighbours_.find(ip);
  if (found != neighbours_.end()) {
    const bool same = found->second == mac;
    found->second = mac;
    return same ? Put::kDone : Put::kAnnounce;
  }
  if (neighbours_.size() >= kNeighboursMax) return Put::kFull;
  neighbours_.emplace(ip, mac);
  const auto former = former_.find(ip);
  if (former == former_.end()) return Put::kDone;
  const bool same = former->second == mac;
  former_.erase(former);
  std::erase(former_order_, ip);
  return same ? Put::kDone : Put::kAnnounce;
}

void Table::delete_neighbour(const Ip& ip) {
  const auto found = neighbours_.find(ip);
  if (found == neighbours_.end()) return;
  former_[ip] = found->second;
  former_order_.push_back(ip);
  neighbours_.erase(found);
  if (former_order_.size() <= kFormerMax) return;
  former_.erase(former_order_.front());
  former_order_.pop_front();
}

void Table::set_flood(std::vector<PeerNumber> peers) {
  flood_.clear();
  for (const PeerNumber peer : peers) {
    if (std::find(flood_.begin(), flood_.end(), peer) == flood_.end()) flood_.push_back(peer);
  }
}

std::vector<std::pair<Ip, Mac>> Table::replace(Table next) {
  std::vector<std::pair<Ip, Mac>> changed;
  for (const auto& [ip, mac] : next.neighbours_) {
    if (put_neighbour(ip, mac) == Put::kAnnounce) changed.emplace_back(ip, mac);
  }
  std::vector<Ip> gone;
  for (const auto& [ip, mac] : neighbours_) {
    if (!next.neighbours_.contains(ip)) gone.push_back(ip);
  }
  for (const Ip& ip : gone) delete_neighbour(ip);
  neighbours_ = std::move(next.neighbours_);
  facts_ = std::move(next.facts_);
  macs_ = std::move(next.macs_);
  flood_ = std::move(next.flood_);
  return changed;
}

void Table::remove_peer(PeerNumber peer) {
  std::erase_if(macs_, [peer](const auto& entry) { return entry.second == peer; });
  std::erase(flood_, peer);
}

}  // namespace fabric::engine
