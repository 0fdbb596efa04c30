// Rate limits of the forwarding rules: a token bucket, and the memory of strangers that were reported. Time is an argument.
#pragma once

#include <algorithm>
#include <list>

#include "table.h"

namespace fabric::engine {

// At most `burst` at once and `per_second` in the long run.
class TokenBucket {
 public:
  TokenBucket(double per_second, double burst) : per_us_(per_second / 1e6), burst_(burst), tokens_(burst) {}

  bool take(uint64_t now_us) {
    if (last_us_ != 0) tokens_ = std::min(burst_, tokens_ + static_cast<double>(now_us - last_us_) * per_us_);
    last_us_ = now_us;
    if (tokens_ < 1) return false;
    tokens_ -= 1;
    return true;
  }

 private:
  double per_us_;
  double burst_;
  double tokens_;
  uint64_t last_us_ = 0;
};

struct Sighting {
  uint32_t network = 0;
  Mac mac = 0;
  // The address that its frame shows to be its own.
  std::optional<Ip> ip;
  // The table has the MAC at a peer.
  bool elsewhere = false;
};

// Which MACs that the table does not have here are worth an event: foreign devices are reported, not each of their frames.
class Strangers {
 public:
  bool notice(const Sighting& seen, uint64_t now_us) {
    const auto& [network, mac, ip, elsewhere] = seen;
    // Families 4 and 6 are addresses; the MAC stands in for a missing one.
    Ip key = ip.value_or(Ip{});
    store_mac(key.bytes + (ip && ip->family == 4 ? 4 : 10), mac ^ load_mac(key.bytes + (ip && ip->family == 4 ? 4 : 10)));
    uint8_t* spare = key.bytes + (ip && ip->family == 4 ? 10 : 0);
    store_u32(spare, load_u32(spare) ^ network);
    if (elsewhere) key.family |= kElsewhere;
    const auto found = reported_.find(key);
    if (found != reported_.end() && now_us - found->second < kRepeatUs) return false;
    if (!rate_.take(now_us)) return false;
    if (found == reported_.end()) order_.push_back(key);
    reported_[key] = now_us;
    if (order_.size() > kRememberedMax) {
      reported_.erase(order_.front());
      order_.pop_front();
    }
    return true;
  }

 private:
  // The Datapath contract: `learned` fires at most ten times a second. The rest is our tuning.
  static constexpr double kEventsPerSecond = 10;
  static constexpr uint64_t kRepeatUs = 10'000'000;
  static constexpr size_t kRememberedMax = 1024;
  // Beside the family: such a sighting is another than one of a MAC in no table.
  static constexpr uint8_t kElsewhere = 0x80;

  TokenBucket rate_{kEventsPerSecond, kEventsPerSecond};
  std::unordered_map<Ip, uint64_t, IpHash> reported_;
  std::list<Ip> order_;
};

}  // namespace fabric::engine
