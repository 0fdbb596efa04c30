// What the daemon tells the engine and what the engine says back: docs/engine-control.md. src/router/engine/control-messages.ts
// is the other side; test/router/engine/control-golden.json pins the bytes of both. Each message is length 4, type 1, payload.
#pragma once

#include <string>
#include <variant>

#include "aead.h"
#include "session_book.h"

namespace fabric::engine {

// Of type and payload. Long lists of table changes come in several messages.
constexpr size_t kMessageMax = 1 << 20;
constexpr size_t kMessageHeaderBytes = 4;
// Of the messages and their meaning. Whatever the version, `hello` begins with it and `stop` ends the engine.
constexpr uint16_t kProtocolVersion = 4;

struct AddSession {
  SessionFacts facts;
  std::array<uint8_t, kKeyBytes> send_key;
  std::array<uint8_t, kKeyBytes> receive_key;

  AddSession() = default;
  AddSession(const AddSession&) = default;
  AddSession& operator=(const AddSession&) = default;
  ~AddSession() {
    explicit_bzero(send_key.data(), send_key.size());
    explicit_bzero(receive_key.data(), receive_key.size());
  }
};
struct UseSession {
  uint32_t local_index;
};
struct RemoveSession {
  uint32_t local_index;
};
struct SetPath {
  PeerId peer;
  std::optional<Path> path;
};
struct SetPathMtu {
  PeerId peer;
  uint32_t bytes;
};
struct TableChange {
  enum class Kind : uint8_t {
    kMac = 1,
    kMacGone = 2,
    kNeighbour = 3,
    kNeighbourGone = 4,
    kFlood = 5,
    // This host has a part in the network from now on, and none any more.
    kNetwork = 6,
    kNetworkGone = 7,
  };
  Kind kind = Kind::kMac;
  uint32_t network = 0;
  Mac mac = 0;
  Ip ip;
  // Of kMac; nothing: local.
  std::optional<PeerId> peer;
  // Of kFlood.
  std::vector<PeerId> peers;
  // Of kNetwork, beside `mac`, the gateway's: the TAP that is its port, and the gateway's addresses.
  std::string port_name;
  std::vector<Ip> gateway_ips;
};
struct ApplyTables {
  std::vector<TableChange> changes;
};
struct SendRaw {
  Path to;
  std::vector<uint8_t> datagram;
};
struct SendKeepalive {
  PeerId peer;
};
struct SendProbe {
  PeerId peer;
  // Of the outer IP packet.
  uint32_t bytes;
};
struct RemovePeer {
  PeerId peer;
};
struct Stop {};
// Answered by fresh counters and `reported`, once both lanes have done what was asked before.
struct Report {};
// The changes up to `EndTables` are all there is: they take the place of the tables in one step.
struct BeginTables {};
struct EndTables {};
// Time stands still at `now_us` until the next: for tests of what takes minutes.
struct SetClock {
  uint64_t now_us;
};

using Command = std::variant<AddSession, UseSession, RemoveSession, SetPath, SetPathMtu, ApplyTables, SendRaw,
                             SendKeepalive, SendProbe, RemovePeer, Stop, Report, SetClock, BeginTables, EndTables>;

// `message` is type and payload. Nothing when it is malformed: unknown type, cut short, or with bytes left over.
std::optional<Command> decode_command(Bytes message);

// What the machine gave at start, as bits of `Ready::features`.
constexpr uint32_t kFeatureVnet = 1;
constexpr uint32_t kFeatureChecksum = 2;
constexpr uint32_t kFeatureTso = 4;
constexpr uint32_t kFeatureUso = 8;
constexpr uint32_t kFeatureUdpSegment = 16;
constexpr uint32_t kFeatureUdpGro = 32;
constexpr uint32_t kFeatureSeccomp = 64;
constexpr uint32_t kFeatureLockedMemory = 128;

using Message = std::vector<uint8_t>;
// The first message to a daemon; `settings` are the words that this engine was started with.
Message encode_hello(const std::string& settings);
// Of messages to the daemon.
bool is_handshake(const Message& message);
// One session that lives, for the daemon that takes it over.
Message encode_session(const BookedSession& session);
Message encode_ready(uint16_t udp_port, uint32_t features, const std::string& aead);
Message encode_handshake(Bytes datagram, const Path& from);
Message encode_session_wanted(const PeerId& peer);
Message encode_relay_wanted(const PeerId& peer);
Message encode_session_confirmed(uint32_t local_index);
Message encode_roamed(const PeerId& peer, const Endpoint& endpoint);
Message encode_session_exhausted(uint32_t local_index);
Message encode_probe_answered(const PeerId& peer, uint32_t bytes);
Message encode_learned(uint32_t network, Mac mac, const std::optional<Ip>& ip);
Message encode_reported();
// The engine can't start or go on.
Message encode_failed(const std::string& code, const std::string& why);

struct DropCount {
  uint8_t reason;
  uint64_t count;
};
struct PeerStats {
  PeerId peer;
  uint64_t tx_frames, tx_bytes, rx_frames, rx_bytes;
  uint64_t last_data_sent_us, last_data_received_us, last_received_us;
  std::vector<DropCount> drops;
};
Message encode_peer_stats(const PeerStats& stats);
// As RelayCounters.
struct RelayStats {
  uint64_t forwarded_datagrams, forwarded_bytes, sent_datagrams, sent_bytes, received_datagrams, received_bytes;
};
struct EngineStats {
  uint64_t frames_in, frames_out;
  RelayStats relayed;
  std::vector<DropCount> drops;
};
Message encode_engine_stats(const EngineStats& stats);

}  // namespace fabric::engine
