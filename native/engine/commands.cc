// See commands.h.
#include "commands.h"

#include <algorithm>

namespace fabric::engine {
namespace {

// Types of messages to the engine, and from it.
enum class Down : uint8_t {
  kAddSession = 1,
  kUseSession,
  kRemoveSession,
  kSetPath,
  kSetPathMtu,
  kApplyTables,
  kSendRaw,
  kSendKeepalive,
  kRemovePeer,
  kStop,
  kReport,
  kSetClock,
  kBeginTables,
  kEndTables,
  kSendProbe,
};
enum class Up : uint8_t {
  kReady = 1,
  kHandshake,
  kSessionWanted,
  kSessionConfirmed,
  kRoamed,
  kSessionExhausted,
  kLearned,
  kFailed,
  kPeerStats,
  kEngineStats,
  kReported,
  kHello,
  kSession,
  kProbeAnswered,
  kRelayWanted,
};

// In the place of an address's family: two peers follow, the relay and whom it leads to.
constexpr uint8_t kRelayFamily = 1;

// Reads fields one behind the other; after the first that is not there all are zero and `good` is false.
class Reader {
 public:
  explicit Reader(Bytes bytes) : rest_(bytes) {}

  bool good() const { return good_; }
  bool finished() const { return good_ && rest_.empty(); }
  size_t left() const { return rest_.size(); }

  Bytes take(size_t bytes) {
    if (rest_.size() < bytes) {
      good_ = false;
      rest_ = {};
      return {};
    }
    const Bytes taken = rest_.first(bytes);
    rest_ = rest_.subspan(bytes);
    return taken;
  }
  uint8_t u8() {
    const Bytes bytes = take(1);
    return bytes.empty() ? 0 : bytes[0];
  }
  uint16_t u16() {
    const Bytes bytes = take(2);
    return bytes.empty() ? 0 : load_u16(bytes.data());
  }
  uint32_t u32() {
    const Bytes bytes = take(4);
    return bytes.empty() ? 0 : load_u32(bytes.data());
  }
  uint64_t u64() {
    const Bytes bytes = take(8);
    return bytes.empty() ? 0 : load_u64(bytes.data());
  }
  Mac mac() {
    const Bytes bytes = take(6);
    return bytes.empty() ? 0 : load_mac(bytes.data());
  }
  template <size_t N>
  std::array<uint8_t, N> array() {
    std::array<uint8_t, N> result{};
    const Bytes bytes = take(N);
    if (!bytes.empty()) memcpy(result.data(), bytes.data(), N);
    return result;
  }
  PeerId peer() { return array<16>(); }
  std::optional<Ip> ip() { return ip(u8()); }
  std::optional<Path> path() { return path(u8()); }
  // Family 0: nothing.
  std::optional<Path> optional_path() {
    const uint8_t family = u8();
    return family == 0 ? std::nullopt : path(family);
  }
  std::string text() {
    const Bytes bytes = take(u16());
    return std::string(bytes.begin(), bytes.end());
  }
  Bytes all() { return take(rest_.size()); }

 private:
  std::optional<Ip> ip(uint8_t family) {
    const bool known = family == 4 || family == 6;
    const Bytes bytes = take(family == 4 ? 4 : 16);
    good_ = good_ && known;
    if (!good_) return std::nullopt;
    return Ip::read(bytes.data(), family);
  }
  std::optional<Path> path(uint8_t family) {
    if (family == kRelayFamily) {
      const PeerId relay = peer();
      return RelayPath{relay, peer()};
    }
    const auto address = ip(family);
    if (!address) return std::nullopt;
    return Endpoint{*address, u16()};
  }

  Bytes rest_;
  bool good_ = true;
};

class Writer {
 public:
  explicit Writer(Up type) : bytes_(kMessageHeaderBytes) { u8(static_cast<uint8_t>(type)); }

  Writer& u8(uint8_t value) {
    *grow(1) = value;
    return *this;
  }
  Writer& u16(uint16_t value) {
    store_u16(grow(2), value);
    return *this;
  }
  Writer& u32(uint32_t value) {
    store_u32(grow(4), value);
    return *this;
  }
  Writer& u64(uint64_t value) {
    store_u64(grow(8), value);
    return *this;
  }
  Writer& mac(Mac value) {
    store_mac(grow(6), value);
    return *this;
  }
  Writer& bytes(Bytes value) {
    if (!value.empty()) memcpy(grow(value.size()), value.data(), value.size());
    return *this;
  }
  Writer& text(const std::string& value) {
    u16(static_cast<uint16_t>(std::min<size_t>(value.size(), 0xffff)));
    return bytes(Bytes(reinterpret_cast<const uint8_t*>(value.data()), std::min<size_t>(value.size(), 0xffff)));
  }
  Writer& ip(const std::optional<Ip>& value) {
    u8(value ? value->family : 0);
    return value ? bytes(Bytes(value->bytes, value->length())) : *this;
  }
  Writer& path(const Path& value) {
    if (const auto* endpoint = std::get_if<Endpoint>(&value)) return ip(endpoint->ip).u16(endpoint->port);
    const auto& [relay, peer] = std::get<RelayPath>(value);
    return u8(kRelayFamily).bytes(relay).bytes(peer);
  }
  Writer& drops(const std::vector<DropCount>& values) {
    u8(static_cast<uint8_t>(values.size()));
    for (const auto& [reason, count] : values) u8(reason).u64(count);
    return *this;
  }
  Message finish() {
    store_u32(bytes_.data(), static_cast<uint32_t>(bytes_.size() - kMessageHeaderBytes));
    return std::move(bytes_);
  }

 private:
  // Not inlined: GCC 12 warns of an overflow that is none.
  [[gnu::noinline]] uint8_t* grow(size_t bytes) {
    bytes_.resize(bytes_.size() + bytes);
    return bytes_.data() + bytes_.size() - bytes;
  }

  Message bytes_;
};

// Bits of a session's flags.
constexpr uint8_t kSessionAdoptable = 1;
constexpr uint8_t kSessionInitiator = 2;
constexpr uint8_t kSessionConfirmed = 4;
constexpr uint8_t kSessionExhausted = 8;

AddSession read_session(Reader& reader) {
  AddSession session;
  SessionFacts& facts = session.facts;
  facts.peer = reader.peer();
  facts.local_index = reader.u32();
  facts.remote_index = reader.u32();
  facts.cipher = static_cast<Cipher>(reader.u8());
  const uint8_t flags = reader.u8();
  facts.adoptable = (flags & kSessionAdoptable) != 0;
  facts.initiator = (flags & kSessionInitiator) != 0;
  facts.created_us = reader.u64();
  facts.path_mtu = reader.u32();
  facts.capabilities = reader.u32();
  session.send_key = reader.array<kKeyBytes>();
  session.receive_key = reader.array<kKeyBytes>();
  return session;
}

// Nothing when the kind is unknown.
std::optional<TableChange> read_change(Reader& reader) {
  TableChange change;
  change.kind = static_cast<TableChange::Kind>(reader.u8());
  change.network = reader.u32();
  switch (change.kind) {
    case TableChange::Kind::kMac:
      change.mac = reader.mac();
      if (reader.u8() != 0) change.peer = reader.peer();
      return change;
    case TableChange::Kind::kMacGone:
      change.mac = reader.mac();
      return change;
    case TableChange::Kind::kNeighbour:
      change.ip = reader.ip().value_or(Ip{});
      change.mac = reader.mac();
      return change;
    case TableChange::Kind::kNeighbourGone:
      change.ip = reader.ip().value_or(Ip{});
      return change;
    case TableChange::Kind::kFlood: {
      const uint32_t count = reader.u32();
      if (count > reader.left() / sizeof(PeerId)) return std::nullopt;
      for (uint32_t i = 0; i < count; i++) change.peers.push_back(reader.peer());
      return change;
    }
    case TableChange::Kind::kNetwork: {
      change.port_name = reader.text();
      change.mac = reader.mac();
      const uint8_t count = reader.u8();
      for (uint8_t i = 0; i < count; i++) change.gateway_ips.push_back(reader.ip().value_or(Ip{}));
      return change;
    }
    case TableChange::Kind::kNetworkGone:
      return change;
  }
  return std::nullopt;
}

std::optional<Command> read_tables(Reader& reader) {
  ApplyTables tables;
  while (reader.good() && reader.left() > 0) {
    auto change = read_change(reader);
    if (!change) return std::nullopt;
    tables.changes.push_back(std::move(*change));
  }
  return tables;
}

std::optional<Command> read_command(Down type, Reader& reader) {
  switch (type) {
    case Down::kAddSession: {
      const AddSession session = read_session(reader);
      const Cipher cipher = session.facts.cipher;
      const bool known = cipher == Cipher::kAes256Gcm || cipher == Cipher::kChaCha20Poly1305;
      if (!known || session.facts.local_index == 0) return std::nullopt;
      return session;
    }
    case Down::kUseSession:
      return UseSession{reader.u32()};
    case Down::kRemoveSession:
      return RemoveSession{reader.u32()};
    case Down::kSetPath: {
      const PeerId peer = reader.peer();
      return SetPath{peer, reader.optional_path()};
    }
    case Down::kSetPathMtu: {
      const PeerId peer = reader.peer();
      return SetPathMtu{peer, reader.u32()};
    }
    case Down::kApplyTables:
      return read_tables(reader);
    case Down::kSendRaw: {
      const auto to = reader.path();
      const Bytes datagram = reader.all();
      if (!to || datagram.size() > kDatagramMax) return std::nullopt;
      return SendRaw{*to, std::vector<uint8_t>(datagram.begin(), datagram.end())};
    }
    case Down::kSendKeepalive:
      return SendKeepalive{reader.peer()};
    case Down::kSendProbe: {
      const PeerId peer = reader.peer();
      return SendProbe{peer, reader.u32()};
    }
    case Down::kRemovePeer:
      return RemovePeer{reader.peer()};
    case Down::kStop:
      return Stop{};
    case Down::kReport:
      return Report{};
    case Down::kSetClock:
      return SetClock{reader.u64()};
    case Down::kBeginTables:
      return BeginTables{};
    case Down::kEndTables:
      return EndTables{};
  }
  return std::nullopt;
}

}  // namespace

std::optional<Command> decode_command(Bytes message) {
  Reader reader(message);
  auto command = read_command(static_cast<Down>(reader.u8()), reader);
  if (!command || !reader.finished()) return std::nullopt;
  return command;
}

Message encode_hello(const std::string& settings) {
  return Writer(Up::kHello).u16(kProtocolVersion).text(settings).finish();
}

Message encode_session(const BookedSession& session) {
  const SessionFacts& facts = session.facts;
  const uint8_t flags = static_cast<uint8_t>((facts.adoptable ? kSessionAdoptable : 0) |
                                             (facts.initiator ? kSessionInitiator : 0) |
                                             (session.confirmed ? kSessionConfirmed : 0) |
                                             (session.exhausted ? kSessionExhausted : 0));
  Writer writer(Up::kSession);
  writer.bytes(facts.peer).u32(facts.local_index).u32(facts.remote_index).u8(static_cast<uint8_t>(facts.cipher));
  writer.u8(flags).u64(facts.created_us).u32(facts.path_mtu).u32(facts.capabilities);
  writer.u8(static_cast<uint8_t>(session.role));
  if (session.path) {
    writer.path(*session.path);
  } else {
    writer.u8(0);
  }
  return writer.finish();
}

Message encode_ready(uint16_t udp_port, uint32_t features, const std::string& aead) {
  return Writer(Up::kReady).u16(udp_port).u32(features).text(aead).finish();
}

Message encode_handshake(Bytes datagram, const Path& from) {
  return Writer(Up::kHandshake).path(from).bytes(datagram).finish();
}

bool is_handshake(const Message& message) {
  return message.size() > kMessageHeaderBytes && message[kMessageHeaderBytes] == static_cast<uint8_t>(Up::kHandshake);
}

Message encode_session_wanted(const PeerId& peer) { return Writer(Up::kSessionWanted).bytes(peer).finish(); }
Message encode_relay_wanted(const PeerId& peer) { return Writer(Up::kRelayWanted).bytes(peer).finish(); }

Message encode_session_confirmed(uint32_t local_index) {
  return Writer(Up::kSessionConfirmed).u32(local_index).finish();
}

Message encode_roamed(const PeerId& peer, const Endpoint& endpoint) {
  return Writer(Up::kRoamed).bytes(peer).path(endpoint).finish();
}

Message encode_session_exhausted(uint32_t local_index) {
  return Writer(Up::kSessionExhausted).u32(local_index).finish();
}

Message encode_probe_answered(const PeerId& peer, uint32_t bytes) {
  return Writer(Up::kProbeAnswered).bytes(peer).u32(bytes).finish();
}

Message encode_learned(uint32_t network, Mac mac, const std::optional<Ip>& ip) {
  return Writer(Up::kLearned).u32(network).mac(mac).ip(ip).finish();
}

Message encode_reported() { return Writer(Up::kReported).finish(); }

Message encode_failed(const std::string& code, const std::string& why) {
  return Writer(Up::kFailed).text(code).text(why).finish();
}

Message encode_peer_stats(const PeerStats& stats) {
  return Writer(Up::kPeerStats)
      .bytes(stats.peer)
      .u64(stats.tx_frames)
      .u64(stats.tx_bytes)
      .u64(stats.rx_frames)
      .u64(stats.rx_bytes)
      .u64(stats.last_data_sent_us)
      .u64(stats.last_data_received_us)
      .u64(stats.last_received_us)
      .drops(stats.drops)
      .finish();
}

Message encode_engine_stats(const EngineStats& stats) {
  const RelayStats& relayed = stats.relayed;
  return Writer(Up::kEngineStats)
      .u64(stats.frames_in)
      .u64(stats.frames_out)
      .u64(relayed.forwarded_datagrams)
      .u64(relayed.forwarded_bytes)
      .u64(relayed.sent_datagrams)
      .u64(relayed.sent_bytes)
      .u64(relayed.received_datagrams)
      .u64(relayed.received_bytes)
      .drops(stats.drops)
      .finish();
}

}  // namespace fabric::engine
