// See neighbour.h.
#include "neighbour.h"

#include "checksum.h"

namespace fabric::engine {
namespace {

constexpr size_t kArpBytes = 28;
constexpr uint16_t kArpRequest = 1;
constexpr uint16_t kArpReply = 2;
constexpr uint8_t kRouterAdvertisement = 134;
constexpr uint8_t kNeighbourSolicitation = 135;
constexpr uint8_t kNeighbourAdvertisement = 136;
constexpr uint8_t kRedirect = 137;
constexpr uint8_t kSourceLinkAddress = 1;
constexpr uint8_t kTargetLinkAddress = 2;
constexpr int kOptionsMax = 16;
constexpr size_t kAdvertisementBytes = 32;
constexpr uint8_t kFlagSolicited = 0x40;
constexpr uint8_t kFlagOverride = 0x20;
constexpr Mac kBroadcast = 0xffffffffffff;
constexpr Mac kAllNodesMac = 0x333300000001;
constexpr uint8_t kAllNodes[16] = {0xff, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1};

std::optional<NeighbourMessage> read_arp(const Frame& frame) {
  if (frame.packet_bytes() < kArpBytes) return std::nullopt;
  const uint8_t* arp = frame.data + frame.l3;
  const bool ethernet_for_ipv4 = load_u16(arp) == 1 && load_u16(arp + 2) == kEtherIpv4 && arp[4] == 6 && arp[5] == 4;
  const uint16_t operation = load_u16(arp + 6);
  if (!ethernet_for_ipv4 || (operation != kArpRequest && operation != kArpReply)) return std::nullopt;
  NeighbourMessage message;
  message.kind = operation == kArpRequest ? NeighbourMessage::Kind::kQuestion : NeighbourMessage::Kind::kStatement;
  const Ip sender = Ip::read(arp + 14, 4);
  message.target = operation == kArpRequest ? Ip::read(arp + 24, 4) : sender;
  if (!sender.unspecified()) {
    message.sender = sender;
    message.claim = NeighbourMessage::Claim{sender, load_mac(arp + 8)};
  }
  return message;
}

// Options are units of eight bytes: type, length in units, value (RFC 4861 §4.6). The last one counts, as in Linux.
std::optional<Mac> read_link_address(Bytes options, uint8_t wanted) {
  std::optional<Mac> mac;
  size_t offset = 0;
  for (int seen = 0; seen < kOptionsMax && offset + 8 <= options.size(); seen++) {
    const size_t length = options[offset + 1] * 8u;
    if (length == 0) return std::nullopt;
    if (options[offset] == wanted) mac = load_mac(options.data() + offset + 2);
    offset += length;
  }
  return mac;
}

std::optional<NeighbourMessage> read_discovery(const Frame& frame) {
  const auto upper = find_upper_layer(frame);
  if (!upper || upper->protocol != kProtocolIcmpv6 || upper->later_fragment || upper->size() < 8) return std::nullopt;
  const uint8_t* icmp = frame.data + upper->offset;
  NeighbourMessage message;
  const Ip source = Ip::read(frame.data + frame.l3 + 8, 6);
  if (!source.unspecified()) message.sender = source;
  if (icmp[0] == kRouterAdvertisement) {
    message.kind = NeighbourMessage::Kind::kRouter;
    return message;
  }
  if (upper->size() < 24) return std::nullopt;
  message.target = Ip::read(icmp + 8, 6);
  const Bytes options(icmp + 24, upper->size() - 24);
  switch (icmp[0]) {
    case kRedirect:
      message.kind = NeighbourMessage::Kind::kRedirect;
      return message;
    case kNeighbourSolicitation: {
      message.kind = NeighbourMessage::Kind::kQuestion;
      const auto mac = read_link_address(options, kSourceLinkAddress);
      if (message.sender && mac) message.claim = NeighbourMessage::Claim{*message.sender, *mac};
      return message;
    }
    case kNeighbourAdvertisement: {
      message.kind = NeighbourMessage::Kind::kStatement;
      const auto mac = read_link_address(options, kTargetLinkAddress);
      if (mac) message.claim = NeighbourMessage::Claim{message.target, *mac};
      return message;
    }
    default:
      return std::nullopt;
  }
}

void write_link_header(uint8_t* frame, Mac destination, Mac source, uint16_t type) {
  store_mac(frame, destination);
  store_mac(frame + 6, source);
  store_u16(frame + 12, type);
}

// All but the target's MAC and address.
void write_arp(uint8_t* arp, uint16_t operation, Mac sender_mac, const uint8_t* sender_ip) {
  store_u16(arp, 1);
  store_u16(arp + 2, kEtherIpv4);
  arp[4] = 6;
  arp[5] = 4;
  store_u16(arp + 6, operation);
  store_mac(arp + 8, sender_mac);
  memcpy(arp + 14, sender_ip, 4);
}

void write_advertisement(uint8_t* ip, const Ip& target, const uint8_t* destination_ip, Mac mac, uint8_t flags) {
  ip[0] = 0x60;
  store_u16(ip + 4, kAdvertisementBytes);
  ip[6] = kProtocolIcmpv6;
  ip[7] = 255;
  memcpy(ip + 8, target.bytes, 16);
  memcpy(ip + 24, destination_ip, 16);
  uint8_t* icmp = ip + 40;
  icmp[0] = kNeighbourAdvertisement;
  icmp[4] = flags;
  memcpy(icmp + 8, target.bytes, 16);
  icmp[24] = kTargetLinkAddress;
  icmp[25] = 1;
  store_mac(icmp + 26, mac);
  const uint16_t pseudo = pseudo_sum(ip, 6, kProtocolIcmpv6, kAdvertisementBytes);
  store_u16(icmp + 2, checksum16(Bytes(icmp, kAdvertisementBytes), pseudo));
}

}  // namespace

std::optional<NeighbourMessage> read_neighbour_message(const Frame& frame) {
  if (frame.ether_type == kEtherArp) return read_arp(frame);
  if (frame.ether_type == kEtherIpv6) return read_discovery(frame);
  return std::nullopt;
}

std::vector<uint8_t> answer_question(const Frame& question, const NeighbourMessage& message, Mac mac) {
  const bool arp = message.target.family == 4;
  std::vector<uint8_t> answer(question.data, question.data + question.l3);
  answer.resize(question.l3 + (arp ? kArpBytes : 40 + kAdvertisementBytes));
  store_mac(answer.data(), question.source);
  store_mac(answer.data() + 6, mac);
  const uint8_t* packet = question.data + question.l3;
  uint8_t* to = answer.data() + question.l3;
  if (arp) {
    write_arp(to, kArpReply, mac, packet + 24);
    memcpy(to + 18, packet + 8, 10);
  } else {
    write_advertisement(to, message.target, packet + 8, mac, kFlagSolicited | kFlagOverride);
  }
  return answer;
}

std::vector<uint8_t> announce_neighbour(const Ip& ip, Mac mac) {
  if (ip.family == 4) {
    std::vector<uint8_t> frame(kEthernetBytes + kArpBytes);
    write_link_header(frame.data(), kBroadcast, mac, kEtherArp);
    write_arp(frame.data() + kEthernetBytes, kArpRequest, mac, ip.bytes);
    memcpy(frame.data() + kEthernetBytes + 24, ip.bytes, 4);
    return frame;
  }
  std::vector<uint8_t> frame(kEthernetBytes + 40 + kAdvertisementBytes);
  write_link_header(frame.data(), kAllNodesMac, mac, kEtherIpv6);
  write_advertisement(frame.data() + kEthernetBytes, ip, kAllNodes, mac, kFlagOverride);
  return frame;
}

}  // namespace fabric::engine
