// See port.h.
#include "port.h"

#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <algorithm>

namespace fabric::engine {
namespace {

constexpr char kTunPath[] = "/dev/net/tun";
// Newer than Debian 12's headers.
constexpr unsigned kOffloadUso = 0x20 | 0x40;

// The most that the kernel has of: checksums, TCP segmentation, UDP segmentation.
Port::Features negotiate(int tap) {
  constexpr unsigned kTso = TUN_F_TSO4 | TUN_F_TSO6;
  const struct {
    unsigned offloads;
    Port::Features features;
  } choices[] = {
      {TUN_F_CSUM | kTso | kOffloadUso, {true, true, true, true}},
      {TUN_F_CSUM | kTso, {true, true, true, false}},
      {TUN_F_CSUM, {true, true, false, false}},
  };
  for (const auto& [offloads, features] : choices) {
    if (ioctl(tap, TUNSETOFFLOAD, offloads) == 0) return features;
  }
  return {true, false, false, false};
}

}  // namespace

std::variant<Port, Fault> Port::open(const std::string& name, bool use_vnet, size_t tcp4_bytes_max) {
  Descriptor tun(::open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
  if (!tun.open()) return Fault::from_errno("kernel-feature-missing", kTunPath);
  return attach(std::move(tun), name, use_vnet, tcp4_bytes_max);
}

// Takes `tun` only when it succeeds.
std::variant<Port, Fault> Port::attach(Descriptor&& tun, const std::string& name, bool use_vnet,
                                       size_t tcp4_bytes_max) {
  ifreq request{};
  if (name.size() >= sizeof request.ifr_name) return Fault{"usage", name + " is too long for an interface"};
  memcpy(request.ifr_name, name.data(), name.size());
  const auto set_interface = [&](int flags) {
    request.ifr_flags = static_cast<short>(IFF_TAP | IFF_NO_PI | flags);
    return ioctl(tun.get(), TUNSETIFF, &request) == 0;
  };
  Port port;
  if (use_vnet && set_interface(IFF_VNET_HDR)) {
    int header_bytes = sizeof(VnetHeader);
    if (ioctl(tun.get(), TUNSETVNETHDRSZ, &header_bytes) != 0) {
      return Fault::from_errno("kernel-feature-missing", "TUNSETVNETHDRSZ");
    }
    port.features_ = negotiate(tun.get());
    port.features_.tcp4_bytes_max = tcp4_bytes_max;
  } else {
    if (!set_interface(0)) return Fault::from_errno("kernel-feature-missing", "interface " + name);
    // A persistent TAP keeps the offloads that an engine with virtio-net headers asked for.
    if (ioctl(tun.get(), TUNSETOFFLOAD, 0) != 0) return Fault::from_errno("kernel-feature-missing", "TUNSETOFFLOAD");
  }
  port.tap_ = std::move(tun);
  return port;
}

Port Port::adopt(Descriptor frames, const Features& features) {
  Port port;
  port.tap_ = std::move(frames);
  port.features_ = features;
  return port;
}

bool Port::attached() const {
  pollfd state{tap_.get(), 0, 0};
  return poll(&state, 1, 0) == 0;
}

Port::Input Port::read(uint8_t* buffer) {
  Input input;
  const ssize_t bytes = ::read(tap_.get(), buffer, kPortBufferBytes);
  if (bytes < 0) {
    input.result = errno == EBADFD ? Read::kGone : Read::kEmpty;
    return input;
  }
  const size_t header = features_.vnet ? sizeof(VnetHeader) : 0;
  if (static_cast<size_t>(bytes) < header) return input;
  if (header != 0) memcpy(&input.vnet, buffer, header);
  input.result = Read::kFrame;
  input.frame = MutableBytes(buffer + header, static_cast<size_t>(bytes) - header);
  return input;
}

bool Port::write(VnetHeader vnet, std::span<iovec> parts) const {
  parts[0] = {&vnet, sizeof vnet};
  const auto used = features_.vnet ? parts : parts.subspan(1);
  return writev(tap_.get(), used.data(), static_cast<int>(used.size())) >= 0;
}

bool Port::write(Bytes frame) const {
  iovec parts[2] = {{}, {const_cast<uint8_t*>(frame.data()), frame.size()}};
  return write(VnetHeader{}, parts);
}

SparePorts::SparePorts(size_t count, bool use_vnet, size_t tcp4_bytes_max)
    : use_vnet_(use_vnet), tcp4_bytes_max_(tcp4_bytes_max) {
  while (free_.size() < count) {
    Descriptor tun(::open(kTunPath, O_RDWR | O_NONBLOCK | O_CLOEXEC));
    if (!tun.open()) return;
    Spare spare;
    spare.port.tap_ = std::move(tun);
    free_.push_back(std::move(spare));
  }
}

std::variant<Port, Fault> SparePorts::open(const std::string& name) {
  const std::lock_guard lock(mutex_);
  // A TAP has one reader: no other descriptor could attach to it.
  const auto holder = std::find_if(free_.begin(), free_.end(), [&name](const Spare& spare) {
    return spare.name == name && spare.port.attached();
  });
  if (holder != free_.end()) {
    Port port = std::move(holder->port);
    free_.erase(holder);
    return port;
  }
  Fault fault{"limit", "no descriptor is left for the port " + name};
  // From the back: those that never served, before those whose former TAP may still be there.
  for (size_t i = free_.size(); i-- > 0;) {
    auto port = Port::attach(std::move(free_[i].port.tap_), name, use_vnet_, tcp4_bytes_max_);
    if (std::holds_alternative<Port>(port)) {
      free_.erase(free_.begin() + static_cast<ptrdiff_t>(i));
      return port;
    }
    fault = std::get<Fault>(port);
  }
  return fault;
}

void SparePorts::give_back(Port&& port, const std::string& name) {
  const std::lock_guard lock(mutex_);
  free_.insert(free_.begin(), Spare{std::move(port), name});
}

}  // namespace fabric::engine
