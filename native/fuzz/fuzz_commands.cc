// The whole engine, threads and all, under what a daemon may write to the control socket, with frames on the port meanwhile.
// The first byte chooses: an arbitrary stream, or messages whose length is right. What must hold: the engine ends when the
// daemon goes away, and says whole messages only.
#include <fcntl.h>
#include <sys/socket.h>

#include "../engine/engine.h"
#include "rig.h"

namespace fabric::fuzz {
namespace {

constexpr int kMessagesMax = 64;
// Fits the socket's buffer, because nobody reads while it is written.
constexpr size_t kStreamMax = 64 * 1024;
constexpr uint64_t kSessionLifeUs = 180'000'000;

std::vector<uint8_t> make_stream(Input& input, const PortPair& port) {
  if (input.u8() % 2 == 0) {
    const auto bytes = input.all();
    return {bytes.begin(), bytes.end()};
  }
  std::vector<uint8_t> stream;
  for (int i = 0; i < kMessagesMax && !input.empty() && stream.size() < kStreamMax; i++) {
    if (input.u8() % 4 == 1) {
      std::vector<uint8_t> entering(sizeof(engine::VnetHeader));
      const Frame frame = make_frame(input, kLocalMac, kPeerMacs[0]);
      entering.insert(entering.end(), frame.begin(), frame.end());
      port.enter(entering);
      continue;
    }
    const auto message = input.blob();
    stream.resize(stream.size() + engine::kMessageHeaderBytes);
    engine::store_u32(stream.data() + stream.size() - engine::kMessageHeaderBytes, static_cast<uint32_t>(message.size()));
    stream.insert(stream.end(), message.begin(), message.end());
  }
  stream.resize(std::min(stream.size(), kStreamMax));
  return stream;
}

// Whole messages, the last of which may be cut off: the engine ends without waiting for a daemon that is gone.
void check_said(int daemon) {
  std::vector<uint8_t> said(1 << 20);
  const ssize_t bytes = recv(daemon, said.data(), said.size(), MSG_DONTWAIT);
  // Nothing was read before the daemon went away.
  if (bytes <= 0) return;
  size_t at = 0;
  while (at + engine::kMessageHeaderBytes < static_cast<size_t>(bytes)) {
    const size_t length = engine::load_u32(said.data() + at);
    require(length > 0 && length <= engine::kMessageMax);
    at += engine::kMessageHeaderBytes + length;
  }
}

void run(Input& input) {
  PortPair port({true, true, true, true});
  int ends[2];
  require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0);
  const engine::Descriptor daemon(ends[1]);
  require(fcntl(ends[0], F_SETFL, O_NONBLOCK) == 0);
  engine::ControlSocket control{engine::Descriptor(ends[0])};
  const auto stream = make_stream(input, port);
  require(send(daemon.get(), stream.data(), stream.size(), 0) == static_cast<ssize_t>(stream.size()));
  require(shutdown(daemon.get(), SHUT_WR) == 0);
  const auto send_aead = engine::make_openssl();
  const auto receive_aead = engine::make_openssl();
  engine::set_manual_clock(0);
  // It lets no other daemon in: the engine ends with this one.
  engine::ControlDoor door;
  engine::Engine engine({{network_facts(), kSelf}},
                        {port.port(), Wire::instance().socket(), control, door, *send_aead, *receive_aead},
                        {kSessionLifeUs, "fuzz"});
  engine.run(0);
  check_said(daemon.get());
}

}  // namespace
}  // namespace fabric::fuzz

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  fabric::fuzz::Input input(data, size);
  fabric::fuzz::run(input);
  return 0;
}
