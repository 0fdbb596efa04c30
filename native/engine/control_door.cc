// See control_door.h.
#include "control_door.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

namespace fabric::engine {
namespace {

// One daemon adopts; another that tries meanwhile waits, and a third sees that something is wrong.
constexpr int kBacklog = 2;

}  // namespace

std::variant<ControlDoor, Fault> ControlDoor::bind(const std::string& path, uid_t owner) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return Fault{"usage", path + " is too long for a socket"};
  memcpy(address.sun_path, path.data(), path.size());
  ControlDoor door;
  door.owner_ = owner;
  door.socket_ = Descriptor(::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!door.socket_.open()) return Fault::from_errno("internal", "socket");
  unlink(path.c_str());
  const mode_t before = umask(0177);
  const int bound = ::bind(door.socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  umask(before);
  if (bound != 0) return Fault::from_errno("internal", path);
  return door;
}

std::optional<Fault> ControlDoor::listen() {
  if (!usable() || ::listen(socket_.get(), kBacklog) == 0) return std::nullopt;
  return Fault::from_errno("internal", "the control socket");
}

Descriptor ControlDoor::accept() {
  Descriptor guest(::accept4(socket_.get(), nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC));
  if (!guest.open()) return guest;
  ucred credentials{};
  socklen_t size = sizeof credentials;
  const bool known = getsockopt(guest.get(), SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  return known && credentials.uid == owner_ ? std::move(guest) : Descriptor();
}

}  // namespace fabric::engine
