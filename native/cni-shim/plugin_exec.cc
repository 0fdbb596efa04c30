// See plugin_exec.h.
#include "plugin_exec.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cstdlib>
#include <cstring>
#include <vector>

#include "descriptor.h"

extern char** environ;

namespace fabric {
namespace {

constexpr int kPluginTimeoutMs = 60'000;
constexpr size_t kOutputBytesMax = 4 * 1024 * 1024;
constexpr int kNotRun = 127;

PluginOutcome not_run(std::string_view name, std::string_view why, int error_number) {
  std::string message = "can not run the plugin ";
  message += name;
  std::string details(why);
  if (error_number != 0) {
    details += ": ";
    details += strerror(error_number);
  }
  return {kNotRun, format_error("", kCodeInternal, message, details), ""};
}

// The first executable file of that name in the directories of CNI_PATH; empty when there is none.
std::string find_plugin(std::string_view name) {
  const char* path = getenv("CNI_PATH");
  std::string_view directories = path == nullptr ? "" : path;
  while (!directories.empty()) {
    const size_t colon = directories.find(':');
    std::string file(directories.substr(0, colon));
    directories.remove_prefix(colon == std::string_view::npos ? directories.size() : colon + 1);
    if (file.empty()) continue;
    file += '/';
    file += name;
    struct stat status {};
    if (stat(file.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

// `NAME=VALUE` of this process with `changes` over it.
std::vector<std::string> merged_environment(const Variables& changes) {
  std::vector<std::string> merged;
  for (char** entry = environ; *entry != nullptr; entry++) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    bool changed = false;
    for (const auto& [key, value] : changes) changed = changed || key == name;
    if (!changed) merged.emplace_back(text);
  }
  for (const auto& [key, value] : changes) merged.push_back(key + "=" + value);
  return merged;
}

// A file in memory instead of a pipe: a plugin that reads slowly or not at all can't block us.
Descriptor memory_file(std::string_view bytes) {
  Descriptor file(memfd_create("cni-config", MFD_CLOEXEC));
  while (file.open() && !bytes.empty()) {
    const ssize_t written = write(file.get(), bytes.data(), bytes.size());
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return {};
    bytes.remove_prefix(static_cast<size_t>(written));
  }
  if (file.open() && lseek(file.get(), 0, SEEK_SET) != 0) return {};
  return file;
}

struct Pipe {
  Descriptor reader;
  Descriptor writer;
};

bool open_pipe(Pipe* ends) {
  int fds[2];
  if (pipe2(fds, O_CLOEXEC) != 0) return false;
  ends->reader = Descriptor(fds[0]);
  ends->writer = Descriptor(fds[1]);
  return true;
}

// In the child: async-signal-safe calls only; the vectors were made before the fork.
[[noreturn]] void become(const char* file, char* const* argv, char* const* envp, int in, int out, int err) {
  dup2(in, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  execve(file, argv, envp);
  _exit(kNotRun);
}

// Reads both until their ends; false at the deadline or above the limit.
bool read_outputs(Descriptor* from_out, Descriptor* from_err, PluginOutcome* outcome) {
  const Deadline deadline(kPluginTimeoutMs);
  while (from_out->open() || from_err->open()) {
    // poll passes over negative descriptors.
    pollfd fds[2] = {{from_out->get(), POLLIN, 0}, {from_err->get(), POLLIN, 0}};
    if (!deadline.wait(fds, 2)) return false;
    Descriptor* const sources[2] = {from_out, from_err};
    std::string* const sinks[2] = {&outcome->out, &outcome->err};
    for (int i = 0; i < 2; i++) {
      if (fds[i].revents == 0) continue;
      char buffer[16 * 1024];
      const ssize_t got = read(sources[i]->get(), buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        sources[i]->reset();
      } else if (sinks[i]->size() + static_cast<size_t>(got) > kOutputBytesMax) {
        return false;
      } else {
        sinks[i]->append(buffer, static_cast<size_t>(got));
      }
    }
  }
  return true;
}

int wait_for(pid_t child) {
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return kNotRun;
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

}  // namespace

PluginOutcome run_plugin(std::string_view name, const Variables& env, std::string_view stdin_bytes) {
  const std::string file = find_plugin(name);
  if (file.empty()) return not_run(name, "it is in no directory of CNI_PATH", 0);
  std::vector<std::string> environment = merged_environment(env);
  std::vector<char*> envp;
  for (std::string& entry : environment) envp.push_back(entry.data());
  envp.push_back(nullptr);
  std::string argument = file;
  char* const argv[] = {argument.data(), nullptr};
  Descriptor in = memory_file(stdin_bytes);
  Pipe out;
  Pipe err;
  if (!in.open() || !open_pipe(&out) || !open_pipe(&err)) return not_run(name, "opening its input and output", errno);
  const pid_t child = fork();
  if (child < 0) return not_run(name, "fork", errno);
  if (child == 0) become(file.c_str(), argv, envp.data(), in.get(), out.writer.get(), err.writer.get());
  out.writer.reset();
  err.writer.reset();
  PluginOutcome outcome;
  const bool read = read_outputs(&out.reader, &err.reader, &outcome);
  if (!read) kill(child, SIGKILL);
  outcome.exit_code = wait_for(child);
  if (!read) return not_run(name, "it took too long or printed too much", 0);
  return outcome;
}

}  // namespace fabric
