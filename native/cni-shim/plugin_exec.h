// Runs a foreign CNI plugin from CNI_PATH, as the daemon orders for IPAM delegation: the daemon itself starts no
// program.
#pragma once

#include <string>
#include <string_view>

#include "messages.h"

namespace fabric {

struct PluginOutcome {
  int exit_code = 0;
  std::string out;
  std::string err;
};

// The plugin gets this process's environment with `env` over it, and `stdin_bytes`. It may take 60 s. What keeps it
// from running is an outcome too: exit code 127 and a CNI error on its stdout. `name` must be a plain name.
PluginOutcome run_plugin(std::string_view name, const Variables& env, std::string_view stdin_bytes);

}  // namespace fabric
