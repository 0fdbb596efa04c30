// The engine's pure parts on a line protocol, for tests (test/router/engine): each line of stdin is a question in words and
// hex, each line of stdout its answer. So TypeScript, which is the oracle, compares the two implementations. Not installed.
#include <cstdio>
#include <iostream>
#include <map>
#include <sstream>

#include "../commands.h"
#include "../forwarding.h"
#include "../relay.h"
#include "../replay.h"
#include "../segments.h"

namespace fabric::engine {
namespace {

using Words = std::vector<std::string>;

std::string to_hex(Bytes bytes) {
  std::string text;
  char octet[3];
  for (const uint8_t byte : bytes) {
    snprintf(octet, sizeof octet, "%02x", byte);
    text += octet;
  }
  return text;
}

// "-" is empty.
std::vector<uint8_t> from_hex(const std::string& text) {
  std::vector<uint8_t> bytes;
  if (text == "-") return bytes;
  for (size_t i = 0; i + 1 < text.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(strtoul(text.substr(i, 2).c_str(), nullptr, 16)));
  }
  return bytes;
}

// A table that is filled by the commands of the control protocol.
class Bench {
 public:
  std::string answer(const Words& words) {
    static const std::map<std::string, std::string (Bench::*)(const Words&)> kAnswers = {
        {"network", &Bench::network}, {"apply", &Bench::apply},         {"port", &Bench::port},
        {"peer", &Bench::peer},       {"too-big", &Bench::too_big},     {"checksum", &Bench::checksum},
        {"seal", &Bench::seal},       {"open", &Bench::open},           {"replay", &Bench::replay},
        {"cut", &Bench::cut},         {"datagrams", &Bench::datagrams}, {"drops", &Bench::drops},
        {"event", &Bench::event},     {"segments", &Bench::segments},   {"relayed", &Bench::relayed},
    };
    const auto found = kAnswers.find(words[0]);
    return found == kAnswers.end() ? "unknown question" : (this->*found->second)(words);
  }

 private:
  // network GATEWAY-MAC MTU, then gateway addresses as family and bytes: a fresh table.
  std::string network(const Words& words) {
    NetworkFacts facts;
    facts.gateway_mac = load_mac(from_hex(words[1]).data());
    facts.mtu = std::stoul(words[2]);
    for (size_t i = 3; i < words.size(); i++) {
      const auto bytes = from_hex(words[i]);
      facts.gateway_ips.push_back(Ip::read(bytes.data() + 1, bytes[0]));
    }
    table_ = Table(facts);
    return "done";
  }

  // apply MESSAGE: table changes go into the table; any other command is said back in words.
  std::string apply(const Words& words) {
    const auto command = decode_command(from_hex(words[1]));
    if (!command) return "malformed";
    if (const auto* tables = std::get_if<ApplyTables>(&*command)) {
      std::string results;
      for (const TableChange& change : tables->changes) results += apply_change(change);
      return results;
    }
    return std::visit([](const auto& known) { return describe(known); }, *command);
  }

  std::string apply_change(const TableChange& change) {
    switch (change.kind) {
      case TableChange::Kind::kMac:
        return table_.put_mac(change.mac, change.peer ? number_of(*change.peer) : kLocal) ? "." : "F";
      case TableChange::Kind::kMacGone:
        table_.delete_mac(change.mac);
        return ".";
      case TableChange::Kind::kNeighbour: {
        const auto put = table_.put_neighbour(change.ip, change.mac);
        return put == Table::Put::kAnnounce ? "A" : put == Table::Put::kFull ? "F" : ".";
      }
      case TableChange::Kind::kNeighbourGone:
        table_.delete_neighbour(change.ip);
        return ".";
      case TableChange::Kind::kFlood: {
        std::vector<PeerNumber> peers;
        for (const PeerId& id : change.peers) peers.push_back(number_of(id));
        table_.set_flood(peers);
        return ".";
      }
      case TableChange::Kind::kNetwork:
      case TableChange::Kind::kNetworkGone:
        return ".";
    }
    return "?";
  }

  // port FRAME: the verdict on a frame from the bridge.
  std::string port(const Words& words) {
    const auto bytes = from_hex(words[1]);
    const auto frame = Frame::read(bytes);
    if (!frame) return "drop frame-short";
    const Verdict verdict = decide_from_port(*frame, frame->packet_bytes(), table_);
    switch (verdict.kind) {
      case Verdict::Kind::kDrop:
        return std::string("drop ") + kDropNames[static_cast<size_t>(verdict.reason)];
      case Verdict::Kind::kPeer:
        return "peer " + to_hex(ids_[verdict.peer]);
      case Verdict::Kind::kFlood: {
        std::string peers;
        for (const PeerNumber number : table_.flood()) peers += " " + to_hex(ids_[number]);
        return (verdict.unknown_unicast ? "unknown" : "flood") + peers;
      }
      case Verdict::Kind::kAnswer:
        return "answer " + to_hex(verdict.answer);
      case Verdict::Kind::kTooLarge:
        return "too-large";
    }
    return "?";
  }

  // peer ID FRAME: the verdict on a frame of that peer.
  std::string peer(const Words& words) {
    const PeerId id = peer_id(words[1]);
    const auto bytes = from_hex(words[2]);
    const auto frame = Frame::read(bytes);
    if (!frame) return "drop frame-short";
    const Drop reason = decide_from_peer(*frame, frame->packet_bytes(), number_of(id), table_);
    return reason == Drop::kNone ? "port" : std::string("drop ") + kDropNames[static_cast<size_t>(reason)];
  }

  // relayed SELF FROM NESTED HOP-LIMIT BODY: what is done with a relay datagram.
  std::string relayed(const Words& words) {
    const PeerId self = peer_id(words[1]);
    const PeerId from = peer_id(words[2]);
    auto body = from_hex(words[5]);
    const auto read = Relayed::read(body, static_cast<uint8_t>(std::stoul(words[4])));
    if (!read) return "malformed";
    const RelayVerdict verdict = decide_relayed(*read, {self, from, words[3] == "nested"});
    if (verdict.kind == RelayVerdict::Kind::kDrop) return kDropNames[static_cast<size_t>(verdict.reason)];
    const std::string addresses = to_hex(read->destination) + " " + to_hex(read->source) + " " + to_hex(read->datagram);
    return (verdict.kind == RelayVerdict::Kind::kDeliver ? "deliver " : "forward ") + addresses;
  }

  static PeerId peer_id(const std::string& text) {
    PeerId id{};
    memcpy(id.data(), from_hex(text).data(), id.size());
    return id;
  }

  // too-big MTU FRAME
  std::string too_big(const Words& words) {
    const auto bytes = from_hex(words[2]);
    const auto frame = Frame::read(bytes);
    const auto answer = frame ? answer_too_big(*frame, std::stoul(words[1])) : std::vector<uint8_t>();
    return answer.empty() ? "none" : to_hex(answer);
  }

  // checksum FRAME
  std::string checksum(const Words& words) {
    auto bytes = from_hex(words[1]);
    return complete_checksum(bytes) ? to_hex(bytes) : "impossible";
  }

  static std::unique_ptr<AeadLibrary> library(const std::string& name) {
    return name == "openssl" ? make_openssl() : make_best_aead(true);
  }

  // seal LIBRARY CIPHER KEY RECEIVER-INDEX COUNTER PLAIN: a datagram.
  std::string seal(const Words& words) {
    const auto sealer = library(words[1])->make_sealer(static_cast<Cipher>(std::stoi(words[2])), from_hex(words[3]));
    const uint64_t counter = std::stoull(words[5]);
    const auto plain = from_hex(words[6]);
    std::vector<uint8_t> datagram(kOuterBytes + plain.size() + kTagBytes);
    write_outer(datagram.data(), static_cast<uint32_t>(std::stoul(words[4])), counter);
    const Bytes whole(plain);
    sealer->seal(counter, Bytes(datagram).first(kOuterBytes), whole.first(kInnerBytes), whole.subspan(kInnerBytes),
                 datagram.data() + kOuterBytes);
    return to_hex(datagram);
  }

  // open LIBRARY CIPHER KEY DATAGRAM: what it held, or "forged".
  std::string open(const Words& words) {
    const auto opener = library(words[1])->make_opener(static_cast<Cipher>(std::stoi(words[2])), from_hex(words[3]));
    auto datagram = from_hex(words[4]);
    const MutableBytes sealed = MutableBytes(datagram).subspan(kOuterBytes);
    const uint64_t counter = load_u64(datagram.data() + 8);
    if (!opener->open(counter, Bytes(datagram).first(kOuterBytes), sealed)) return "forged";
    return to_hex(sealed.first(sealed.size() - kTagBytes));
  }

  // replay COUNTER…: a letter each: fresh, replayed, too old. Fresh ones are marked.
  std::string replay(const Words& words) {
    auto window = std::make_unique<ReplayWindow>();
    std::string verdicts;
    for (size_t i = 1; i < words.size(); i++) {
      const uint64_t counter = std::stoull(words[i]);
      const auto verdict = window->check(counter);
      verdicts += "frt"[static_cast<size_t>(verdict)];
      if (verdict == ReplayWindow::Verdict::kFresh) window->mark(counter);
    }
    return verdicts;
  }

  // cut GSO-TYPE GSO-SIZE FRAME [FRAME-BYTES]: the segments (where these are too large: those that are not), and what appending
  // them again gives.
  std::string cut(const Words& words) {
    const auto bytes = from_hex(words[3]);
    const auto frame = Frame::read(bytes);
    const auto upper = frame ? find_upper_layer(*frame) : std::nullopt;
    if (!upper) return "no superframe";
    VnetHeader vnet;
    vnet.flags = kVnetNeedsChecksum;
    vnet.gso_type = static_cast<uint8_t>(std::stoul(words[1]));
    vnet.gso_size = static_cast<uint16_t>(std::stoul(words[2]));
    vnet.csum_start = static_cast<uint16_t>(upper->offset);
    auto superframe = Superframe::read(*frame, vnet);
    if (superframe && words.size() > 4) superframe = superframe->cut_to(std::stoul(words[4]));
    if (!superframe) return "no superframe";
    std::vector<std::vector<uint8_t>> segments;
    std::string answer;
    for (size_t i = 0; i < superframe->count; i++) {
      std::vector<uint8_t> segment(superframe->header_bytes);
      superframe->write_header(segment.data(), i);
      const Bytes payload = superframe->payload(i);
      segment.insert(segment.end(), payload.begin(), payload.end());
      answer += to_hex(segment) + " ";
      segments.push_back(std::move(segment));
    }
    return answer + join(segments, *superframe);
  }

  static std::string join(const std::vector<std::vector<uint8_t>>& segments, const Superframe& superframe) {
    SegmentRun run;
    Inner inner;
    inner.count = static_cast<uint8_t>(segments.size());
    inner.header_length = static_cast<uint8_t>(superframe.header_bytes);
    for (size_t i = 0; i < segments.size(); i++) {
      inner.index = static_cast<uint8_t>(i);
      const bool taken =
          i == 0 ? run.start(*Frame::read(segments[i]), inner, 7, true) : run.append(segments[i], inner, 7);
      if (!taken) return "refused at " + std::to_string(i);
    }
    return to_hex(run.finish().parts);
  }

  // segments TCP4-BYTES-MAX, then for each SUPERFRAME:INDEX:COUNT:HEADER-LENGTH:FRAME: what goes to the port, as `datagrams`.
  std::string segments(const Words& words) {
    SegmentRun run(std::stoul(words[1]));
    std::vector<std::vector<uint8_t>> frames;
    std::string answer;
    const auto flush = [&run, &answer] { answer += take(&run); };
    for (size_t i = 2; i < words.size(); i++) {
      std::istringstream word(words[i]);
      std::string field[5];
      for (std::string& text : field) std::getline(word, text, ':');
      Inner inner;
      inner.index = static_cast<uint8_t>(std::stoul(field[1]));
      inner.count = static_cast<uint8_t>(std::stoul(field[2]));
      inner.header_length = static_cast<uint8_t>(std::stoul(field[3]));
      const uint64_t whole = std::stoul(field[0]);
      frames.push_back(from_hex(field[4]));
      if (run.append(frames.back(), inner, whole)) continue;
      flush();
      if (!run.start(*Frame::read(frames.back()), inner, whole, true)) answer += "0:0:" + to_hex(frames.back()) + " ";
    }
    flush();
    return answer;
  }

  // A run as its count of frames, the payload of each, and its bytes; leaves it empty.
  static std::string take(SegmentRun* run) {
    if (run->empty()) return "";
    const std::string count = std::to_string(run->count());
    const auto output = run->finish();
    run->clear();
    return count + ":" + std::to_string(output.vnet.gso_size) + ":" + to_hex(output.parts) + " ";
  }

  // datagrams FRAME...: what goes to the port, each as its count of frames, the payload of each, and its bytes.
  std::string datagrams(const Words& words) {
    std::vector<std::vector<uint8_t>> frames;
    for (size_t i = 1; i < words.size(); i++) frames.push_back(from_hex(words[i]));
    SegmentRun run;
    std::string answer;
    const auto flush = [&run, &answer] { answer += take(&run); };
    for (const auto& bytes : frames) {
      if (run.append_datagram(bytes)) continue;
      flush();
      if (!run.start_datagrams(*Frame::read(bytes))) answer += "0:0:" + to_hex(bytes) + " ";
    }
    flush();
    return answer;
  }

  // All but the virtio-net header.
  static std::string to_hex(std::span<const iovec> parts) {
    std::string text;
    for (const iovec& part : parts.subspan(1)) {
      text += engine::to_hex(Bytes(static_cast<const uint8_t*>(part.iov_base), part.iov_len));
    }
    return text;
  }
  static std::string to_hex(Bytes bytes) { return engine::to_hex(bytes); }

  std::string drops(const Words&) {
    std::string names;
    for (const char* name : kDropNames) names += std::string(names.empty() ? "" : " ") + name;
    return names;
  }

  // event NAME: a message of the engine with the fields of test/router/engine/control-golden.json.
  std::string event(const Words& words) {
    PeerId id;
    id.fill(0xab);
    const uint8_t ip4[4] = {192, 0, 2, 9};
    const uint8_t ip6[16] = {0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9};
    const Endpoint endpoint{Ip::read(ip4, 4), 6783};
    const Endpoint endpoint6{Ip::read(ip6, 6), 65535};
    RelayPath relay{.relay = {}, .peer = id};
    relay.relay.fill(0xcd);
    const uint8_t datagram[] = {0x11, 0, 0, 0, 1, 2, 3, 4};
    const std::map<std::string, Message> messages = {
        {"ready", encode_ready(6783, kFeatureVnet | kFeatureUdpGro | kFeatureSeccomp, "ipsec-mb vaes")},
        {"handshake", encode_handshake(datagram, endpoint6)},
        {"handshake by a relay", encode_handshake(datagram, relay)},
        {"session-wanted", encode_session_wanted(id)},
        {"relay-wanted", encode_relay_wanted(id)},
        {"session-confirmed", encode_session_confirmed(0xfedcba98)},
        {"roamed", encode_roamed(id, endpoint)},
        {"probe-answered", encode_probe_answered(id, 1492)},
        {"session-exhausted", encode_session_exhausted(1)},
        {"learned", encode_learned(0x123456, 0x02000000000a, endpoint.ip)},
        {"learned without address", encode_learned(0, 0x02000000000a, std::nullopt)},
        {"failed", encode_failed("port-in-use", "UDP port 6783: Address already in use")},
        {"peer-stats", encode_peer_stats({id, 1, 2, 3, uint64_t{1} << 33, 1500, 0, 2500, {{0, 5}, {42, 6}}})},
        {"engine-stats", encode_engine_stats({7, 8, {1, 2, 3, 4, 5, uint64_t{1} << 33}, {{13, 9}}})},
        {"reported", encode_reported()},
        {"hello", encode_hello("--udp-port 6783")},
        {"session", encode_session(booked(id, SessionRole::kCurrent, endpoint))},
        {"session by a relay", encode_session(booked(id, SessionRole::kCurrent, relay))},
        {"session without path", encode_session(booked(id, SessionRole::kNext, std::nullopt))},
    };
    std::string name = words[1];
    for (size_t i = 2; i < words.size(); i++) name += " " + words[i];
    const auto found = messages.find(name);
    return found == messages.end() ? "unknown event" : to_hex(found->second);
  }

  // A current one has confirmed keys and a used up counter, another was initiated here.
  static BookedSession booked(const PeerId& id, SessionRole role, const std::optional<Path>& path) {
    const bool current = role == SessionRole::kCurrent;
    const SessionFacts facts{id, 0xfedcba98, 2, Cipher::kChaCha20Poly1305, true, !current, 1'500'000, 1400, 5};
    return {facts, role, current, current, path};
  }

  static std::string describe(const AddSession& command) {
    const SessionFacts& facts = command.facts;
    return "add-session " + to_hex(facts.peer) + " " + std::to_string(facts.local_index) + " " +
           std::to_string(facts.remote_index) + " " + std::to_string(static_cast<int>(facts.cipher)) + " " +
           (facts.adoptable ? "adoptable " : "") + (facts.initiator ? "initiator " : "") +
           std::to_string(facts.created_us) + " " + std::to_string(facts.path_mtu) + " " +
           std::to_string(facts.capabilities) + " " + to_hex(command.send_key) + " " + to_hex(command.receive_key);
  }
  static std::string describe(const UseSession& command) {
    return "use-session " + std::to_string(command.local_index);
  }
  static std::string describe(const RemoveSession& command) {
    return "remove-session " + std::to_string(command.local_index);
  }
  static std::string describe(const SetPath& command) {
    return "set-path " + to_hex(command.peer) + " " + (command.path ? describe(*command.path) : "none");
  }
  static std::string describe(const SetPathMtu& command) {
    return "set-path-mtu " + to_hex(command.peer) + " " + std::to_string(command.bytes);
  }
  static std::string describe(const ApplyTables&) { return "apply-tables"; }
  static std::string describe(const SendRaw& command) {
    return "send-raw " + describe(command.to) + " " + to_hex(command.datagram);
  }
  static std::string describe(const SendProbe& command) {
    return "send-probe " + to_hex(command.peer) + " " + std::to_string(command.bytes);
  }
  static std::string describe(const SendKeepalive& command) { return "send-keepalive " + to_hex(command.peer); }
  static std::string describe(const RemovePeer& command) { return "remove-peer " + to_hex(command.peer); }
  static std::string describe(const Stop&) { return "stop"; }
  static std::string describe(const Report&) { return "report"; }
  static std::string describe(const BeginTables&) { return "begin-tables"; }
  static std::string describe(const EndTables&) { return "end-tables"; }
  static std::string describe(const SetClock& command) { return "set-clock " + std::to_string(command.now_us); }
  static std::string describe(const Path& path) {
    if (const auto* relay = std::get_if<RelayPath>(&path)) return to_hex(relay->relay) + ">" + to_hex(relay->peer);
    const auto& endpoint = std::get<Endpoint>(path);
    return to_hex(Bytes(endpoint.ip.bytes, endpoint.ip.length())) + ":" + std::to_string(endpoint.port);
  }

  PeerNumber number_of(const PeerId& id) {
    for (PeerNumber number = 0; number < ids_.size(); number++) {
      if (ids_[number] == id) return number;
    }
    ids_.push_back(id);
    return static_cast<PeerNumber>(ids_.size() - 1);
  }

  Table table_{NetworkFacts{}};
  std::vector<PeerId> ids_;
};

}  // namespace
}  // namespace fabric::engine

int main() {
  fabric::engine::Bench bench;
  std::string line;
  while (std::getline(std::cin, line)) {
    std::istringstream stream(line);
    std::vector<std::string> words;
    for (std::string word; stream >> word;) words.push_back(word);
    std::cout << (words.empty() ? "" : bench.answer(words)) << std::endl;
  }
}
