// See session_book.h.
#include "session_book.h"

#include <algorithm>

namespace fabric::engine {

void SessionBook::add(const SessionFacts& facts, uint64_t now_us) {
  const std::lock_guard lock(mutex_);
  erase(facts.local_index);
  BookedSession session;
  session.facts = facts;
  if (session.facts.created_us == 0) session.facts.created_us = now_us;
  expiry_us_ = std::min(expiry_us_, session.facts.created_us + life_us_);
  peers_[facts.peer].sessions.push_back(session);
  owners_[facts.local_index] = facts.peer;
}

void SessionBook::use(uint32_t local_index) {
  const std::lock_guard lock(mutex_);
  BookedSession* used = find(local_index);
  if (used == nullptr) return;
  bool older = true;
  for (BookedSession& session : peers_[used->facts.peer].sessions) {
    if (&session == used) older = false;
    // An offer that came after it may still be confirmed; what came before is only received on.
    else if (older || session.role == SessionRole::kCurrent) session.role = SessionRole::kPrevious;
  }
  used->role = SessionRole::kCurrent;
}

void SessionBook::remove(uint32_t local_index) {
  const std::lock_guard lock(mutex_);
  erase(local_index);
}

void SessionBook::remove_peer(const PeerId& peer) {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  for (const BookedSession& session : found->second.sessions) owners_.erase(session.facts.local_index);
  peers_.erase(found);
}

void SessionBook::set_path(const PeerId& peer, const std::optional<Path>& path) {
  const std::lock_guard lock(mutex_);
  peers_[peer].path = path;
}

void SessionBook::move(const PeerId& peer, const Endpoint& endpoint) {
  const std::lock_guard lock(mutex_);
  const auto found = peers_.find(peer);
  if (found == peers_.end()) return;
  std::optional<Path>& path = found->second.path;
  if (!path || std::holds_alternative<Endpoint>(*path)) path = endpoint;
}

void SessionBook::confirm(uint32_t local_index) {
  const std::lock_guard lock(mutex_);
  if (BookedSession* session = find(local_index)) session->confirmed = true;
}

void SessionBook::exhaust(uint32_t local_index) {
  const std::lock_guard lock(mutex_);
  if (BookedSession* session = find(local_index)) session->exhausted = true;
}

std::vector<BookedSession> SessionBook::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<BookedSession> sessions;
  for (const auto& [id, peer] : peers_) {
    for (const BookedSession& session : peer.sessions) {
      sessions.push_back(session);
      sessions.back().path = peer.path;
    }
  }
  return sessions;
}

std::vector<uint32_t> SessionBook::take_expired(uint64_t now_us) {
  const std::lock_guard lock(mutex_);
  std::vector<uint32_t> expired;
  if (now_us < expiry_us_) return expired;
  expiry_us_ = UINT64_MAX;
  for (const auto& [id, peer] : peers_) {
    for (const BookedSession& session : peer.sessions) {
      const uint64_t expiry_us = session.facts.created_us + life_us_;
      if (now_us >= expiry_us) expired.push_back(session.facts.local_index);
      else expiry_us_ = std::min(expiry_us_, expiry_us);
    }
  }
  for (const uint32_t local_index : expired) erase(local_index);
  return expired;
}

uint64_t SessionBook::expiry_us() const {
  const std::lock_guard lock(mutex_);
  return expiry_us_;
}

BookedSession* SessionBook::find(uint32_t local_index) {
  const auto owner = owners_.find(local_index);
  if (owner == owners_.end()) return nullptr;
  for (BookedSession& session : peers_[owner->second].sessions) {
    if (session.facts.local_index == local_index) return &session;
  }
  return nullptr;
}

void SessionBook::erase(uint32_t local_index) {
  const auto owner = owners_.find(local_index);
  if (owner == owners_.end()) return;
  std::erase_if(peers_[owner->second].sessions,
                [local_index](const auto& session) { return session.facts.local_index == local_index; });
  owners_.erase(owner);
}

}  // namespace fabric::engine
