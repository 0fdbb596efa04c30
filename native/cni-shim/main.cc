// The CNI plugin that runtimes execute: hands CNI_* and stdin to the daemon over its unix socket and prints what it
// answers. It exists because starting Node for each call costs more than a whole ADD. It decides nothing about CNI
// except what must be answered when there is no daemon: VERSION, STATUS 50, a DEL recorded for later, and "try again
// later".

#include <fcntl.h>
#include <sys/stat.h>

#include <cstdlib>
#include <cstring>

#include "daemon_connection.h"
#include "deferred_delete.h"
#include "messages.h"
#include "plugin_exec.h"

extern char** environ;

namespace fabric {
namespace {

constexpr size_t kStdinBytesMax = 16 * 1024 * 1024;
constexpr char kRunDirDefault[] = "/run/fabric";
constexpr char kStateDirDefault[] = "/var/lib/fabric";
// An operation has one IPAM plugin with ADD and its rollback; more orders than this are a fault of the daemon.
constexpr int kOrdersMax = 8;

struct Call {
  std::string command;
  Variables env;
  std::string stdin_bytes;
  ConfigScan config;
};

bool write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = write(fd, text.data(), text.size());
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) return false;
    text.remove_prefix(static_cast<size_t>(written));
  }
  return true;
}

int fail(const Call& call, int code, std::string_view message, std::string_view details) {
  write_all(STDOUT_FILENO, format_error(call.config.cni_version, code, message, details));
  return 1;
}

std::string variable(const char* name, const char* otherwise = "") {
  const char* value = getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

Variables cni_variables() {
  Variables found;
  for (char** entry = environ; *entry != nullptr; entry++) {
    const std::string_view text(*entry);
    const size_t equals = text.find('=');
    if (equals == std::string_view::npos || text.substr(0, 4) != "CNI_") continue;
    found.emplace_back(std::string(text.substr(0, equals)), std::string(text.substr(equals + 1)));
  }
  return found;
}

enum class Input { kRead, kTooLong, kFailed };

Input read_stdin(std::string* bytes) {
  char buffer[64 * 1024];
  for (;;) {
    const ssize_t got = read(STDIN_FILENO, buffer, sizeof buffer);
    if (got == 0) return Input::kRead;
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return Input::kFailed;
    if (bytes->size() + static_cast<size_t>(got) > kStdinBytesMax) return Input::kTooLong;
    bytes->append(buffer, static_cast<size_t>(got));
  }
}

// Stays open until the process ends: the daemon reaches the namespace through /proc/PID/fd/N.
OpenedNamespace open_namespace(const std::string& path) {
  OpenedNamespace opened;
  if (path.empty()) return opened;
  struct stat status {};
  // O_NONBLOCK: a FIFO in place of the namespace must not hang us.
  opened.fd = open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  if (opened.fd < 0 || fstat(opened.fd, &status) != 0) {
    opened.error = strerror(errno);
    opened.fd = -1;
    return opened;
  }
  opened.dev = status.st_dev;
  opened.ino = status.st_ino;
  return opened;
}

int print(const Answer& answer) {
  if (!write_all(STDERR_FILENO, answer.err) || !write_all(STDOUT_FILENO, answer.out)) return 1;
  return answer.exit_code;
}

// The IPAM plugin whose ADD ran last with success, and what it was told: the daemon may be gone before it can order the DEL.
struct Reserved {
  std::string plugin;
  std::string stdin_bytes;
};

void note_reservation(const ExecOrder& order, const PluginOutcome& outcome, Reserved* reserved) {
  for (const auto& [name, value] : order.env) {
    if (name != "CNI_COMMAND") continue;
    // A failed ADD may have reserved half; a DEL that ran is the end of it.
    if (value == "ADD") *reserved = {order.plugin, order.stdin_bytes};
    if (value == "DEL" && outcome.exit_code == 0) *reserved = {};
  }
}

// Its outcome is nobody's to report: the caller is told to try again, and a runtime's DEL comes here once more.
void give_back(const Reserved& reserved) {
  if (!reserved.plugin.empty()) run_plugin(reserved.plugin, {{"CNI_COMMAND", "DEL"}}, reserved.stdin_bytes);
}

// The daemon's answer, after running the plugins that it ordered; nothing with `error` set when it gave none.
std::optional<Answer> ask_daemon(const Call& call, std::string* error) {
  DaemonConnection daemon;
  const std::string run_dir =
      call.config.run_dir.empty() ? variable("FABRIC_RUN_DIR", kRunDirDefault) : call.config.run_dir;
  if (!daemon.connect(run_dir)) {
    *error = daemon.error();
    return std::nullopt;
  }
  const OpenedNamespace netns = open_namespace(variable("CNI_NETNS"));
  const OpenedNamespace own = open_namespace("/proc/self/ns/net");
  const char* path = "/v1/cni";
  std::string body = format_request(call.env, call.stdin_bytes, getpid(), netns, own);
  Reserved reserved;
  for (int orders = 0; orders <= kOrdersMax; orders++) {
    const std::optional<std::string> reply = daemon.post(path, body);
    if (!reply) {
      *error = daemon.error();
      give_back(reserved);
      return std::nullopt;
    }
    std::optional<Answer> answer = parse_answer(*reply);
    if (!answer) break;
    if (!answer->exec) return answer;
    const ExecOrder& order = *answer->exec;
    const PluginOutcome outcome = run_plugin(order.plugin, order.env, order.stdin_bytes);
    note_reservation(order, outcome, &reserved);
    path = "/v1/cni/exec";
    body = format_exec_report(order.continuation, outcome.exit_code, outcome.out, outcome.err);
  }
  give_back(reserved);
  *error = "the daemon's answer can not be understood";
  return std::nullopt;
}

// A DEL succeeds without the daemon: it is recorded, and the daemon does it when it is back.
int defer_delete(const Call& call, const std::string& why) {
  if (variable("CNI_CONTAINERID").empty() || variable("CNI_IFNAME").empty()) {
    return fail(call, kCodeEnvironment, "DEL needs CNI_CONTAINERID and CNI_IFNAME", "");
  }
  if (!call.config.valid) return fail(call, kCodeDecode, "failed to decode the network configuration", "");
  const std::string state_dir =
      call.config.state_dir.empty() ? variable("FABRIC_STATE_DIR", kStateDirDefault) : call.config.state_dir;
  const std::string error = record_deferred_delete(state_dir, format_deferred_delete(call.env, call.stdin_bytes));
  if (!error.empty()) {
    return fail(call, kCodeIo, "fabric daemon not reachable, and the DEL can not be recorded for later",
                why + "; " + error);
  }
  // The daemon runs no programs: a foreign IPAM plugin gives its address back here and now.
  const std::string& ipam = call.config.ipam_type;
  if (ipam.empty() || ipam == "fabric" || !is_plain_name(ipam)) return 0;
  const PluginOutcome outcome = run_plugin(ipam, {{"CNI_COMMAND", "DEL"}}, call.stdin_bytes);
  if (outcome.exit_code == 0) return 0;
  write_all(STDOUT_FILENO, outcome.out);
  return 1;
}

int answer_without_daemon(const Call& call, const std::string& why) {
  const std::string& command = call.command;
  if (command == "VERSION") {
    return write_all(STDOUT_FILENO, format_versions(call.config.cni_version)) ? 0 : 1;
  }
  if (command == "DEL") return defer_delete(call, why);
  if (command == "STATUS") return fail(call, kCodeNotAvailable, "fabric daemon not reachable", why);
  if (command == "ADD" || command == "CHECK" || command == "GC") {
    return fail(call, kCodeTryAgainLater, "fabric daemon not reachable, is 'fabric launch' running?", why);
  }
  return fail(call, kCodeEnvironment, "unknown CNI_COMMAND: " + command, "");
}

int run() {
  Call call;
  call.command = variable("CNI_COMMAND");
  if (call.command.empty()) return write_all(STDERR_FILENO, kAboutText) ? 0 : 1;
  call.env = cni_variables();
  switch (read_stdin(&call.stdin_bytes)) {
    case Input::kRead:
      break;
    case Input::kTooLong:
      return fail(call, kCodeConfig, "the network configuration is longer than 16 MiB", "");
    case Input::kFailed:
      return fail(call, kCodeIo, "can not read the network configuration from stdin", strerror(errno));
  }
  call.config = scan_config(call.stdin_bytes);
  std::string error;
  const std::optional<Answer> answer = ask_daemon(call, &error);
  return answer ? print(*answer) : answer_without_daemon(call, error);
}

}  // namespace
}  // namespace fabric

int main() { return fabric::run(); }
