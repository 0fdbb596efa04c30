// See rig.h.
#include "rig.h"

#include <net/if.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <cstdio>
#include <map>

namespace fabric::fuzz {
namespace {

using engine::Descriptor;
using engine::Port;
using engine::UdpSocket;

constexpr int kBufferBytes = 64 << 20;
constexpr int kArrivalMs = 100;

#ifndef UDP_SEGMENT
#define UDP_SEGMENT 103
#endif

[[noreturn]] void give_up(const char* what) {
  perror(what);
  exit(1);
}

void widen(int fd) {
  for (const int option : {SO_RCVBUFFORCE, SO_SNDBUFFORCE}) {
    if (setsockopt(fd, SOL_SOCKET, option, &kBufferBytes, sizeof kBufferBytes) != 0) give_up("SO_*BUFFORCE");
  }
}

engine::Endpoint loopback() {
  const uint8_t bytes[4] = {127, 0, 0, 1};
  return {engine::Ip::read(bytes, 4), 0};
}

UdpSocket open_socket() {
  auto opened = UdpSocket::open(loopback(), engine::UdpOffloads{});
  if (std::holds_alternative<engine::Fault>(opened)) give_up("UDP socket");
  return std::move(std::get<UdpSocket>(opened));
}

}  // namespace

void enter_empty_network() {
  if (unshare(CLONE_NEWNET) != 0) give_up("unshare(CLONE_NEWNET): run it as root");
  const Descriptor socket(::socket(AF_INET, SOCK_DGRAM, 0));
  ifreq request{};
  memcpy(request.ifr_name, "lo", 3);
  request.ifr_flags = IFF_UP;
  if (ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) give_up("loopback");
}

std::shared_ptr<engine::Sealer> sealer(engine::Bytes key) {
  static std::map<uint8_t, std::shared_ptr<engine::Sealer>> made;
  auto& sealer = made[key[0]];
  if (!sealer) sealer = engine::make_openssl()->make_sealer(engine::Cipher::kAes256Gcm, key);
  return sealer;
}

std::shared_ptr<engine::Opener> opener(engine::Bytes key) {
  static std::map<uint8_t, std::shared_ptr<engine::Opener>> made;
  auto& opener = made[key[0]];
  if (!opener) opener = engine::make_openssl()->make_opener(engine::Cipher::kAes256Gcm, key);
  return opener;
}

engine::NetworkFacts network_facts() {
  engine::NetworkFacts facts;
  facts.gateway_mac = kGatewayMac;
  facts.gateway_ips = {engine::Ip::read(kGatewayIp, 4)};
  facts.mtu = kMtu;
  return facts;
}

void fill(engine::Table& table) {
  table.put_mac(kLocalMac, engine::kLocal);
  for (engine::PeerNumber peer = 0; peer < 2; peer++) table.put_mac(kPeerMacs[peer], peer);
  table.put_neighbour(engine::Ip::read(kPeerIp, 4), kPeerMacs[0]);
  table.put_neighbour(engine::Ip::read(kPeerIp6, 6), kPeerMacs[0]);
  table.put_neighbour(engine::Ip::read(kLocalIp, 4), kLocalMac);
  table.set_flood({0, 1});
}

PortPair::PortPair(const Port::Features& features) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0) give_up("socketpair");
  for (const int end : ends) widen(end);
  port_ = Port::adopt(Descriptor(ends[0]), features);
  bridge_ = Descriptor(ends[1]);
}

void PortPair::enter(engine::Bytes bytes) const {
  // An empty message would read as the end of the socket.
  if (!bytes.empty()) require(::send(bridge_.get(), bytes.data(), bytes.size(), 0) >= 0);
}

std::optional<engine::Bytes> PortPair::leave(engine::MutableBytes buffer) const {
  const ssize_t bytes = recv(bridge_.get(), buffer.data(), buffer.size(), 0);
  if (bytes < 0) return std::nullopt;
  return buffer.first(static_cast<size_t>(bytes));
}

Wire& Wire::instance() {
  static Wire wire;
  return wire;
}

Wire::Wire() : socket_(open_socket()), peers_(::socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0)) {
  engine::SocketAddress address = socket_.address(loopback());
  socklen_t size = sizeof address.v6;
  widen(peers_.get());
  if (bind(peers_.get(), &address.generic, address.size) != 0) give_up("bind");
  getsockname(peers_.get(), &address.generic, &size);
  endpoint_ = UdpSocket::endpoint(address);
  engine::Endpoint lane = loopback();
  lane.port = socket_.port();
  address = socket_.address(lane);
  if (connect(peers_.get(), &address.generic, address.size) != 0) give_up("connect");
}

void Wire::send(engine::Bytes bytes, size_t segment_bytes) {
  iovec part{const_cast<uint8_t*>(bytes.data()), bytes.size()};
  msghdr message{};
  message.msg_iov = &part;
  message.msg_iovlen = 1;
  alignas(cmsghdr) uint8_t control[CMSG_SPACE(sizeof(uint16_t))] = {};
  if (segment_bytes != 0 && segment_bytes < bytes.size()) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_UDP;
    header->cmsg_type = UDP_SEGMENT;
    header->cmsg_len = CMSG_LEN(sizeof(uint16_t));
    const auto value = static_cast<uint16_t>(segment_bytes);
    memcpy(CMSG_DATA(header), &value, sizeof value);
  }
  require(sendmsg(peers_.get(), &message, 0) >= 0);
}

bool Wire::arrived() const { return readable_within(kArrivalMs); }

bool Wire::pending() const { return readable_within(0); }

bool Wire::readable_within(int limit_ms) const {
  pollfd readable{socket_.fd(), POLLIN, 0};
  return poll(&readable, 1, limit_ms) > 0;
}

std::optional<engine::MutableBytes> Wire::receive(engine::MutableBytes buffer) const {
  const ssize_t bytes = recv(peers_.get(), buffer.data(), buffer.size(), 0);
  if (bytes < 0) return std::nullopt;
  return buffer.first(static_cast<size_t>(bytes));
}

size_t check_port_message(engine::Bytes message, const Port::Features& features) {
  engine::VnetHeader vnet;
  if (features.vnet) {
    require(message.size() >= sizeof vnet);
    memcpy(&vnet, message.data(), sizeof vnet);
    message = message.subspan(sizeof vnet);
  }
  const auto frame = engine::Frame::read(message);
  require(frame.has_value());
  if ((vnet.flags & engine::kVnetNeedsChecksum) != 0) {
    require(size_t{vnet.csum_start} + vnet.csum_offset + 2 <= message.size());
  }
  if (vnet.gso_type == engine::kGsoNone) return 1;
  // What the engine joins it also cuts.
  const auto superframe = engine::Superframe::read(*frame, vnet);
  require(superframe.has_value() && vnet.hdr_len == superframe->header_bytes && vnet.hdr_len <= message.size());
  require(vnet.gso_type != engine::kGsoUdp || features.uso);
  return superframe->count;
}

uint64_t total(const engine::DropCounts& drops, engine::Drop first, engine::Drop last) {
  uint64_t sum = 0;
  for (auto reason = static_cast<size_t>(first); reason <= static_cast<size_t>(last); reason++) {
    sum += drops.counts[reason].get();
  }
  return sum;
}

uint64_t total(const engine::DropCounts& drops) {
  return total(drops, static_cast<engine::Drop>(0), static_cast<engine::Drop>(engine::kDropReasons - 1));
}

}  // namespace fabric::fuzz

// libFuzzer calls it once, in every target that has this rig.
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  fabric::fuzz::enter_empty_network();
  return 0;
}
