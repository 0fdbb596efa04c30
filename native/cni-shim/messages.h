// What the shim reads and writes: the few members of a network configuration that it needs before it can reach the
// daemon, the daemon's answers, requests, deferred DELs and CNI errors. Pure functions over untrusted bytes; src/cni-
// plugin/wire.ts is the other side, docs/cni.md describes the forms.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace fabric {

using Variables = std::vector<std::pair<std::string, std::string>>;

// Members of the configuration; empty where absent or no string. Keys are matched without regard to case.
struct ConfigScan {
  bool valid = false;  // one JSON object and nothing else
  std::string cni_version;
  std::string run_dir;
  std::string state_dir;
  std::string ipam_type;
};

ConfigScan scan_config(std::string_view stdin_bytes);

struct ExecOrder {
  std::string plugin;
  Variables env;
  std::string stdin_bytes;
  std::string continuation;
};

struct Answer {
  int exit_code = 0;
  std::string out;
  std::string err;
  std::optional<ExecOrder> exec;
};

// Nothing on malformed input, also when an order names a plugin that is no plain file name.
std::optional<Answer> parse_answer(std::string_view body);

struct ResponseHead {
  int status = 0;
  size_t head_bytes = 0;  // including the empty line
  size_t body_bytes = 0;
};

enum class HeadState { kIncomplete, kMalformed, kComplete };

// HTTP/1.1 status line and header with a Content-Length, which the daemon always sends.
HeadState parse_response_head(std::string_view received, ResponseHead* head);

// ^[a-zA-Z0-9][a-zA-Z0-9_.-]*$, at most 255 bytes: a file name that stays below its directory.
bool is_plain_name(std::string_view name);

struct OpenedNamespace {
  int fd = -1;
  dev_t dev = 0;
  ino_t ino = 0;
  std::string error;  // why it could not be opened; empty when it was or there was none to open
};

std::string format_request(const Variables& env, std::string_view stdin_bytes, pid_t pid, const OpenedNamespace& netns,
                           const OpenedNamespace& own);
std::string format_exec_report(std::string_view continuation, int exit_code, std::string_view out,
                               std::string_view err);
std::string format_deferred_delete(const Variables& env, std::string_view stdin_bytes);

inline constexpr int kCodeEnvironment = 4;
inline constexpr int kCodeIo = 5;
inline constexpr int kCodeDecode = 6;
inline constexpr int kCodeConfig = 7;
inline constexpr int kCodeTryAgainLater = 11;
inline constexpr int kCodeNotAvailable = 50;
inline constexpr int kCodeInternal = 100;

// The error object of the specification on one line; an unknown version is replaced by the newest.
std::string format_error(std::string_view cni_version, int code, std::string_view message, std::string_view details);

// The answer to VERSION; the version asked for is echoed.
std::string format_versions(std::string_view cni_version);

extern const char kAboutText[];

}  // namespace fabric
