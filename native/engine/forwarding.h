// The forwarding rules: a frame and where it came from, against the table, give a verdict. Pure; src/router/forwarding.ts is
// the oracle, and a differential test compares the two.
//
//   port ──▶ decide_from_port ──▶ peer | flood | answer | too-large | drop
//   peer ──▶ decide_from_peer ──▶ port (no drop) | drop
#pragma once

#include "drops.h"
#include "frame.h"
#include "neighbour.h"
#include "table.h"

namespace fabric::engine {

struct Verdict {
  enum class Kind { kDrop, kPeer, kFlood, kAnswer, kTooLarge };
  Kind kind = Kind::kDrop;
  Drop reason = Drop::kNone;
  PeerNumber peer = kLocal;
  // Of kFlood: the destination is an unknown unicast MAC; such copies are rate-limited.
  bool unknown_unicast = false;
  // Of kAnswer: back into the port instead of the frame.
  std::vector<uint8_t> answer;
};

// `packet_bytes`: of the largest packet that the frame becomes (a superframe's segments), else the frame's own.
Verdict decide_from_port(const Frame& frame, size_t packet_bytes, const Table& table);

// Drop::kNone: into the port.
Drop decide_from_peer(const Frame& frame, size_t packet_bytes, PeerNumber peer, const Table& table);

// True when a frame from the port is news for `learned`: its source MAC is in no table, or the table has it elsewhere.
bool is_news(const Frame& frame, const Verdict& verdict, const Table& table);

// The address that a frame from an unknown MAC shows to be its own.
std::optional<Ip> address_of_stranger(const Frame& frame);

// ICMP "fragmentation needed" or ICMPv6 "packet too big" on behalf of the destination; empty when there is no answer.
std::vector<uint8_t> answer_too_big(const Frame& frame, size_t mtu);

}  // namespace fabric::engine
