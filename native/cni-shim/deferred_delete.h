// The record that a DEL leaves when no daemon answers: a file in `<state-dir>/cni-pending`, complete and durable
// before the shim reports success, because the runtime never asks again. The daemon works it off (src/daemon/pending-
// deletes.ts).
#pragma once

#include <string>
#include <string_view>

namespace fabric {

// Empty on success, else what failed and why. Directories are made 0700, the file 0600.
std::string record_deferred_delete(const std::string& state_dir, std::string_view content);

}  // namespace fabric
