// See forwarding.h.
#include "forwarding.h"

namespace fabric::engine {
namespace {

Drop refused_anywhere(const Frame& frame, const Table& table) {
  if (frame.to_reserved_group()) return Drop::kReservedGroup;
  if (frame.source_invalid()) return Drop::kSourceInvalid;
  const Mac gateway = table.facts().gateway_mac;
  return frame.source == gateway || frame.destination == gateway ? Drop::kGatewayMac : Drop::kNone;
}

// Cheap: spares TCP and UDP the walk through their headers.
bool may_be_neighbour_message(const Frame& frame) {
  if (frame.ether_type == kEtherArp) return true;
  if (frame.ether_type != kEtherIpv6) return false;
  if (frame.packet_bytes() < 7) return true;
  const uint8_t next = frame.data[frame.l3 + 6];
  return next != kProtocolTcp && next != kProtocolUdp;
}

// What holds in both directions: gateways are local, bindings in the table are true, routers are not containers.
Drop refused_neighbour_message(const NeighbourMessage& message, const Table& table) {
  if (message.kind == NeighbourMessage::Kind::kRouter) return Drop::kRouterAdvertisement;
  if (message.kind == NeighbourMessage::Kind::kRedirect) return Drop::kRedirect;
  if (table.is_gateway(message.target)) return Drop::kGatewayNeighbour;
  if (message.sender && table.is_gateway(*message.sender)) return Drop::kGatewayNeighbour;
  if (!message.claim) return Drop::kNone;
  if (table.is_gateway(message.claim->ip)) return Drop::kGatewayNeighbour;
  const auto known = table.neighbour(message.claim->ip);
  return known && *known != message.claim->mac ? Drop::kNeighbourSpoof : Drop::kNone;
}

Verdict drop(Drop reason) {
  Verdict verdict;
  verdict.reason = reason;
  return verdict;
}

// Nothing: carry it like any other frame.
std::optional<Verdict> decide_neighbour_message(const Frame& frame, const NeighbourMessage& message,
                                                const Table& table) {
  const Drop refused = refused_neighbour_message(message, table);
  if (refused != Drop::kNone) return drop(refused);
  // Probes and announcements are for everybody who may object; a unicast question wants to know whether its target lives.
  if (message.kind != NeighbourMessage::Kind::kQuestion || !frame.to_group()) return std::nullopt;
  if (!message.sender || *message.sender == message.target) return std::nullopt;
  const auto mac = table.neighbour(message.target);
  if (!mac) return std::nullopt;
  const PeerNumber* owner = table.owner(*mac);
  if (owner == nullptr) return std::nullopt;
  if (*owner == kLocal) return drop(Drop::kNeighbourLocal);
  Verdict verdict;
  verdict.kind = Verdict::Kind::kAnswer;
  verdict.answer = answer_question(frame, message, *mac);
  return verdict;
}

Verdict flood(const Table& table, bool unknown_unicast) {
  if (table.flood().empty()) return drop(Drop::kNoMembers);
  Verdict verdict;
  verdict.kind = Verdict::Kind::kFlood;
  verdict.unknown_unicast = unknown_unicast;
  return verdict;
}

}  // namespace

Verdict decide_from_port(const Frame& frame, size_t packet_bytes, const Table& table) {
  const Drop refused = refused_anywhere(frame, table);
  if (refused != Drop::kNone) return drop(refused);
  const PeerNumber* source = table.owner(frame.source);
  if (source != nullptr && *source != kLocal) return drop(Drop::kSourceElsewhere);
  if (may_be_neighbour_message(frame)) {
    const auto message = read_neighbour_message(frame);
    if (message) {
      auto verdict = decide_neighbour_message(frame, *message, table);
      if (verdict) return std::move(*verdict);
    }
  }
  Verdict verdict;
  if (packet_bytes > table.facts().mtu) {
    verdict.kind = Verdict::Kind::kTooLarge;
    return verdict;
  }
  if (frame.to_group()) return flood(table, false);
  const PeerNumber* destination = table.owner(frame.destination);
  if (destination == nullptr) return flood(table, true);
  if (*destination == kLocal) return drop(Drop::kDestinationLocal);
  verdict.kind = Verdict::Kind::kPeer;
  verdict.peer = *destination;
  return verdict;
}

Drop decide_from_peer(const Frame& frame, size_t packet_bytes, PeerNumber peer, const Table& table) {
  const Drop refused = refused_anywhere(frame, table);
  if (refused != Drop::kNone) return refused;
  const PeerNumber* source = table.owner(frame.source);
  if (source != nullptr && *source != peer) return Drop::kSourceElsewhere;
  if (may_be_neighbour_message(frame)) {
    const auto message = read_neighbour_message(frame);
    const Drop reason = message ? refused_neighbour_message(*message, table) : Drop::kNone;
    if (reason != Drop::kNone) return reason;
  }
  if (packet_bytes > table.facts().mtu) return Drop::kFrameTooLarge;
  if (frame.to_group()) return Drop::kNone;
  const PeerNumber* destination = table.owner(frame.destination);
  return destination == nullptr || *destination == kLocal ? Drop::kNone : Drop::kDestinationElsewhere;
}

bool is_news(const Frame& frame, const Verdict& verdict, const Table& table) {
  if (verdict.kind == Verdict::Kind::kDrop) return verdict.reason == Drop::kSourceElsewhere;
  return table.owner(frame.source) == nullptr;
}

std::optional<Ip> address_of_stranger(const Frame& frame) {
  if (!may_be_neighbour_message(frame)) return std::nullopt;
  const auto message = read_neighbour_message(frame);
  if (!message || !message->claim || message->claim->mac != frame.source) return std::nullopt;
  return message->claim->ip;
}

}  // namespace fabric::engine
