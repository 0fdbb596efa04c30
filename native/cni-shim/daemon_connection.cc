// See daemon_connection.h.
#include "daemon_connection.h"

#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

#include <cstring>

#include "messages.h"

namespace fabric {
namespace {

constexpr int kConnectTimeoutMs = 1000;

// Shortened by the tests' own build of the shim, never in bin/cni/fabric.
#ifndef FABRIC_SHIM_ANSWER_TIMEOUT_MS
#define FABRIC_SHIM_ANSWER_TIMEOUT_MS 60000
#endif
constexpr int kAnswerTimeoutMs = FABRIC_SHIM_ANSWER_TIMEOUT_MS;

}  // namespace

bool DaemonConnection::connect(const std::string& run_dir) {
  const std::string path = run_dir + "/fabric.sock";
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) return fail("the socket's path " + path + " is too long", ENAMETOOLONG);
  memcpy(address.sun_path, path.data(), path.size());
  socket_ = Descriptor(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket_.open()) return fail("socket", errno);
  // A full backlog makes connect wait; unix(7) bounds that wait by the send time-out.
  const timeval timeout{kConnectTimeoutMs / 1000, kConnectTimeoutMs % 1000 * 1000};
  setsockopt(socket_.get(), SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout);
  if (::connect(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return true;
  return fail("connect " + path, errno == EAGAIN ? ETIMEDOUT : errno);
}

std::optional<std::string> DaemonConnection::post(std::string_view path, std::string_view body) {
  const Deadline deadline(kAnswerTimeoutMs);
  std::string head = "POST ";
  head += path;
  head += " HTTP/1.1\r\nHost: fabric\r\nContent-Type: application/json\r\nContent-Length: ";
  head += std::to_string(body.size()) + "\r\n\r\n";
  // Together, so that the daemon has all of it when it wakes.
  if (!send_all(head.append(body), deadline)) return std::nullopt;
  std::string received;
  ResponseHead response;
  HeadState state = HeadState::kIncomplete;
  while (state == HeadState::kIncomplete) {
    if (!receive_more(&received, deadline)) return std::nullopt;
    state = parse_response_head(received, &response);
  }
  if (state == HeadState::kMalformed) {
    fail("the daemon's answer", EBADMSG);
    return std::nullopt;
  }
  while (received.size() < response.head_bytes + response.body_bytes) {
    if (!receive_more(&received, deadline)) return std::nullopt;
  }
  std::string answer = received.substr(response.head_bytes, response.body_bytes);
  if (response.status == 200) return answer;
  error_ = "the daemon answered HTTP " + std::to_string(response.status) + " " + answer.substr(0, 500);
  return std::nullopt;
}

bool DaemonConnection::send_all(std::string_view bytes, const Deadline& deadline) {
  while (!bytes.empty()) {
    pollfd writable{socket_.get(), POLLOUT, 0};
    if (!deadline.wait(&writable, 1)) return fail("sending to the daemon", errno);
    const ssize_t sent = send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent < 0 && errno != EAGAIN && errno != EINTR) return fail("sending to the daemon", errno);
    if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

bool DaemonConnection::receive_more(std::string* received, const Deadline& deadline) {
  char buffer[16 * 1024];
  for (;;) {
    pollfd readable{socket_.get(), POLLIN, 0};
    if (!deadline.wait(&readable, 1)) return fail("waiting for the daemon's answer", errno);
    const ssize_t got = recv(socket_.get(), buffer, sizeof buffer, MSG_DONTWAIT);
    if (got > 0) {
      received->append(buffer, static_cast<size_t>(got));
      return true;
    }
    if (got == 0) return fail("the daemon closed the connection in mid-call", ECONNRESET);
    if (errno != EAGAIN && errno != EINTR) return fail("reading the daemon's answer", errno);
  }
}

bool DaemonConnection::fail(std::string_view what, int error_number) {
  error_ = what;
  error_ += ": ";
  error_ += strerror(error_number);
  return false;
}

}  // namespace fabric
