// Frames for the engine's fuzz targets: the first byte of the input chooses between arbitrary bytes and well-formed headers
// (Ethernet, VLAN, IPv4, IPv6, TCP, UDP, ARP, neighbour discovery) with arbitrary fields, so that the fuzzer gets past them.
#pragma once

#include <vector>

#include "../engine/frame.h"
#include "input.h"

namespace fabric::fuzz {

using Frame = std::vector<uint8_t>;

// In the tables of the targets: on our bridge, and behind the peers.
constexpr engine::Mac kLocalMac = 0x02000000000a;
constexpr engine::Mac kPeerMacs[2] = {0x02000000000b, 0x02000000000c};
constexpr engine::Mac kGatewayMac = 0x02fab11c0001;
constexpr uint8_t kLocalIp[4] = {10, 32, 0, 10};
constexpr uint8_t kPeerIp[4] = {10, 32, 0, 11};
constexpr uint8_t kGatewayIp[4] = {10, 32, 0, 1};
constexpr uint8_t kLocalIp6[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0a};
constexpr uint8_t kPeerIp6[16] = {0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x0b};

// `from` and `to` stand in it unless the input wants others.
Frame make_frame(Input& input, engine::Mac from, engine::Mac to);

}  // namespace fabric::fuzz
