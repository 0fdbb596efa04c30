// One HTTP/1.1 connection to the daemon's unix socket, kept for all exchanges of a call: the daemon takes its closing
// as the caller's hang-up and rolls back. Connecting takes at most 1 s, each answer at most 60 s.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "descriptor.h"

namespace fabric {

class DaemonConnection {
 public:
  // True when connected; otherwise `error()` says why.
  bool connect(const std::string& run_dir);

  // POSTs JSON and returns the body of a 200; nothing on anything else, with `error()` set.
  std::optional<std::string> post(std::string_view path, std::string_view body);

  // What failed and why, a clause for people.
  const std::string& error() const { return error_; }

 private:
  bool send_all(std::string_view bytes, const Deadline& deadline);
  bool receive_more(std::string* received, const Deadline& deadline);
  bool fail(std::string_view what, int error_number);

  Descriptor socket_;
  std::string error_;
};

}  // namespace fabric
