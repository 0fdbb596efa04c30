// What the engine remembers of its sessions for a daemon that comes after the one that made them, and when their keys expire.
// No key is in here. Changed by commands and by events of the lanes, never per frame: hence one lock. Invariant: at most one
// session of a peer is current, and none is older than the life that it was given.
#pragma once

#include <mutex>
#include <unordered_map>
#include <vector>

#include "aead.h"
#include "events.h"

namespace fabric::engine {

// As the daemon gave them.
struct SessionFacts {
  PeerId peer{};
  uint32_t local_index = 0;
  uint32_t remote_index = 0;
  Cipher cipher = Cipher::kAes256Gcm;
  // A later daemon may go on with it; else it is ended then.
  bool adoptable = false;
  bool initiator = false;
  // CLOCK_BOOTTIME; 0 is replaced by the time of its coming.
  uint64_t created_us = 0;
  uint32_t path_mtu = 0;
  uint32_t capabilities = 0;
};

// As src/router/tunnel-sessions.ts: offered and not sent on yet; sent on; only received on.
enum class SessionRole : uint8_t { kNext = 0, kCurrent = 1, kPrevious = 2 };

struct BookedSession {
  SessionFacts facts;
  SessionRole role = SessionRole::kNext;
  // Its first valid datagram came.
  bool confirmed = false;
  bool exhausted = false;
  // Where datagrams to its peer go.
  std::optional<Path> path;
};

class SessionBook {
 public:
  // Keys are refused and zeroed at this age.
  explicit SessionBook(uint64_t life_us) : life_us_(life_us) {}

  uint64_t life_us() const { return life_us_; }

  void add(const SessionFacts& facts, uint64_t now_us);
  void use(uint32_t local_index);
  void remove(uint32_t local_index);
  void remove_peer(const PeerId& peer);
  void set_path(const PeerId& peer, const std::optional<Path>& path);
  // The peer roamed. Nothing when it was removed or has a relay by now.
  void move(const PeerId& peer, const Endpoint& endpoint);
  void confirm(uint32_t local_index);
  void exhaust(uint32_t local_index);

  // Of each peer the oldest first.
  std::vector<BookedSession> all() const;
  // Takes out those whose life is over, and returns their local indexes.
  std::vector<uint32_t> take_expired(uint64_t now_us);
  // No session's life is over before; UINT64_MAX when there is none.
  uint64_t expiry_us() const;

 private:
  struct Peer {
    // In the order of their coming: a handful.
    std::vector<BookedSession> sessions;
    std::optional<Path> path;
  };

  // With the lock held. Null when there is no such session.
  BookedSession* find(uint32_t local_index);
  void erase(uint32_t local_index);

  const uint64_t life_us_;
  mutable std::mutex mutex_;
  std::unordered_map<PeerId, Peer, PeerIdHash> peers_;
  // Whose session a local index is.
  std::unordered_map<uint32_t, PeerId> owners_;
  uint64_t expiry_us_ = UINT64_MAX;
};

}  // namespace fabric::engine
