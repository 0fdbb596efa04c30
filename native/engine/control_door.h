// The socket in the run directory at which a daemon finds an engine that outlived the one before it. Bound while the process
// may still write there, listening only after it gave up root, so that the daemon sees the engine's own uid as the peer's.
// Invariant: only the user who started the engine gets in (SO_PEERCRED), and one daemon at a time: others wait in line.
#pragma once

#include <sys/types.h>

#include <optional>
#include <variant>

#include "descriptor.h"

namespace fabric::engine {

class ControlDoor {
 public:
  // One that never opens: the engine ends with its first daemon.
  ControlDoor() = default;
  // Replaces whatever has the name `path`, with mode 0600. `owner` may come in.
  static std::variant<ControlDoor, Fault> bind(const std::string& path, uid_t owner);

  bool usable() const { return socket_.open(); }
  int fd() const { return socket_.get(); }
  std::optional<Fault> listen();
  // Closed when nobody is there, or somebody who may not come in.
  Descriptor accept();

 private:
  Descriptor socket_;
  uid_t owner_ = 0;
};

}  // namespace fabric::engine
