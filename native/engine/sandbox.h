// What the engine gives up once its descriptors are open: root, capabilities, core dumps, new privileges, and every system
// call that moving frames does not need. Order matters: lock memory first, the system call filter last.
#pragma once

#include <optional>

#include "descriptor.h"

namespace fabric::engine {

struct SandboxOptions {
  // Simulates a kernel without seccomp.
  bool use_seccomp = true;
};
struct SandboxResult {
  bool locked_memory = false;
  bool seccomp = false;
};

// A fault when privileges could not be dropped: the engine must not run with them.
std::optional<Fault> enter_sandbox(const SandboxOptions& options, SandboxResult* result);

}  // namespace fabric::engine
