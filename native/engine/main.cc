// fabric-engine: moves frames between a TAP and encrypted UDP. Started by the daemon (src/router/engine) with the control
// socket as descriptor 3; options are facts that never change and no secret. With --control it outlives that daemon.
#include <arpa/inet.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/resource.h>

#include <cstdlib>
#include <cstdio>

#include "engine.h"
#include "sandbox.h"

namespace fabric::engine {
namespace {

constexpr int kControlFd = 3;
constexpr int kExitUsage = 2;
// Our tuning: frames wait as little for programs as they would in the kernel, such as for the start of the next daemon.
constexpr int kNice = -10;
// As NETWORKS_HERE_MAX of src/daemon/networks.ts: how many networks beside the main one this host can have a part in.
constexpr size_t kSparePorts = 64;
// WireGuard's REJECT_AFTER_TIME, as in src/router/tunnel-timing.ts.
constexpr uint32_t kSessionLifeMs = 180'000;

struct Options {
  std::string port_name;
  Endpoint listen;
  SendLane::Facts facts;
  bool has_self = false;
  bool use_vnet = true;
  size_t tcp4_bytes_max = kSuperframeBytes;
  UdpOffloads udp_offloads;
  bool use_ipsec_mb = true;
  SandboxOptions sandbox;
  // Where later daemons find it; empty: it ends with its first.
  std::string control_path;
  uint32_t session_life_ms = kSessionLifeMs;
  size_t threads = Crew::threads_here();
  // All but the path, as they were given.
  std::string settings;
};

std::optional<Ip> parse_ip(const std::string& text) {
  uint8_t bytes[16];
  if (inet_pton(AF_INET, text.c_str(), bytes) == 1) return Ip::read(bytes, 4);
  if (inet_pton(AF_INET6, text.c_str(), bytes) == 1) return Ip::read(bytes, 6);
  return std::nullopt;
}

std::optional<uint32_t> parse_number(const std::string& text) {
  char* end = nullptr;
  const unsigned long value = strtoul(text.c_str(), &end, 10);
  if (text.empty() || *end != 0 || value > UINT32_MAX) return std::nullopt;
  return static_cast<uint32_t>(value);
}

std::optional<Mac> parse_mac(const std::string& text) {
  unsigned octets[6];
  if (sscanf(text.c_str(), "%2x:%2x:%2x:%2x:%2x:%2x", &octets[0], &octets[1], &octets[2], &octets[3], &octets[4],
             &octets[5]) != 6) {
    return std::nullopt;
  }
  Mac mac = 0;
  for (const unsigned octet : octets) mac = mac << 8 | octet;
  return mac;
}

// 16 bytes in hex.
bool parse_peer(const std::string& text, PeerId* peer) {
  if (text.size() != 2 * peer->size()) return false;
  for (size_t i = 0; i < peer->size(); i++) {
    if (sscanf(text.c_str() + 2 * i, "%2hhx", &(*peer)[i]) != 1) return false;
  }
  return true;
}

// `--without FEATURE`: as on a machine that lacks it.
bool disable(const std::string& feature, Options* options) {
  if (feature == "vnet") options->use_vnet = false;
  else if (feature == "udp-segment") options->udp_offloads.segment = false;
  else if (feature == "udp-segment-later") options->udp_offloads.segment_lasts = false;
  else if (feature == "udp-gro") options->udp_offloads.receive = false;
  else if (feature == "ipsec-mb") options->use_ipsec_mb = false;
  else if (feature == "seccomp") options->sandbox.use_seccomp = false;
  else return false;
  return true;
}

bool set_option(const std::string& name, const std::string& value, Options* options) {
  NetworkFacts& network = options->facts.network;
  if (name == "--port-name") {
    options->port_name = value;
    return true;
  }
  if (name == "--control") {
    options->control_path = value;
    return true;
  }
  if (name == "--without") return disable(value, options);
  if (name == "--peer") return options->has_self = parse_peer(value, &options->facts.self);
  if (name == "--gateway-mac") {
    const auto mac = parse_mac(value);
    network.gateway_mac = mac.value_or(0);
    return mac.has_value();
  }
  if (name == "--listen" || name == "--gateway-ip") {
    const auto ip = parse_ip(value);
    if (!ip) return false;
    if (name == "--listen") options->listen.ip = *ip;
    else network.gateway_ips.push_back(*ip);
    return true;
  }
  const auto number = parse_number(value);
  if (!number) return false;
  if (name == "--udp-port") options->listen.port = static_cast<uint16_t>(*number);
  else if (name == "--network") network.network = *number;
  else if (name == "--mtu") network.mtu = *number;
  else if (name == "--session-life-ms") options->session_life_ms = *number;
  else if (name == "--path-mtu") options->facts.path_mtu = *number;
  else if (name == "--tcp4-superframe" && *number >= kSuperframeBytes) options->tcp4_bytes_max = *number;
  else if (name == "--threads" && (*number == 1 || *number == 2)) options->threads = *number;
  else return false;
  return true;
}

std::optional<Options> parse_options(int count, char** words) {
  Options options;
  for (int i = 1; i < count; i += 2) {
    if (i + 1 == count || !set_option(words[i], words[i + 1], &options)) return std::nullopt;
    if (std::string(words[i]) == "--control") continue;
    for (const char* word : {words[i], words[i + 1]}) {
      if (!options.settings.empty()) options.settings += ' ';
      options.settings += word;
    }
  }
  const bool complete = !options.port_name.empty() && options.has_self && options.listen.ip.family != 0 &&
                        options.facts.network.mtu != 0;
  if (!complete) return std::nullopt;
  return options;
}

uint32_t features_of(const Port& port, const UdpSocket& socket, const SandboxResult& sandbox) {
  const Port::Features& has = port.features();
  return (has.vnet ? kFeatureVnet : 0) | (has.checksum ? kFeatureChecksum : 0) | (has.tso ? kFeatureTso : 0) |
         (has.uso ? kFeatureUso : 0) | (socket.segments() ? kFeatureUdpSegment : 0) |
         (socket.receive_offload() ? kFeatureUdpGro : 0) | (sandbox.seccomp ? kFeatureSeccomp : 0) |
         (sandbox.locked_memory ? kFeatureLockedMemory : 0);
}

int give_up(ControlSocket& control, const Options& options, const Fault& fault) {
  control.send(encode_hello(options.settings));
  control.send(encode_failed(fault.code, fault.why));
  control.flush();
  return 1;
}

int run(const Options& options) {
  fcntl(kControlFd, F_SETFL, O_NONBLOCK);
  ControlSocket control{Descriptor(kControlFd)};
  auto port = Port::open(options.port_name, options.use_vnet, options.tcp4_bytes_max);
  if (const Fault* fault = std::get_if<Fault>(&port)) return give_up(control, options, *fault);
  ControlDoor door;
  if (!options.control_path.empty()) {
    auto bound = ControlDoor::bind(options.control_path, geteuid());
    if (const Fault* fault = std::get_if<Fault>(&bound)) return give_up(control, options, *fault);
    door = std::get<ControlDoor>(std::move(bound));
  }
  auto socket = UdpSocket::open(options.listen, options.udp_offloads);
  if (const Fault* fault = std::get_if<Fault>(&socket)) return give_up(control, options, *fault);
  SparePorts spares(kSparePorts, options.use_vnet, options.tcp4_bytes_max);
  // Before the sandbox: libraries read files when they are loaded, the engine opens descriptors.
  auto send_aead = make_best_aead(options.use_ipsec_mb);
  auto receive_aead = make_best_aead(options.use_ipsec_mb);
  const uint8_t any_key[kKeyBytes] = {};
  for (const Cipher cipher : {Cipher::kAes256Gcm, Cipher::kChaCha20Poly1305}) {
    if (make_openssl()->make_sealer(cipher, any_key)) continue;
    return give_up(control, options, {"internal", "OpenSSL lacks a cipher"});
  }
  Engine engine(options.facts,
                {std::get<Port>(port), std::get<UdpSocket>(socket), control, door, *send_aead, *receive_aead,
                 &spares},
                {uint64_t{options.session_life_ms} * 1000, options.settings}, options.threads);
  SandboxResult sandbox;
  if (const auto fault = enter_sandbox(options.sandbox, &sandbox)) return give_up(control, options, *fault);
  const uint32_t features = features_of(std::get<Port>(port), std::get<UdpSocket>(socket), sandbox);
  if (const auto fault = door.listen()) return give_up(control, options, *fault);
  const std::string reason = engine.run(features);
  fprintf(stderr, "fabric-engine ended: %s\n", reason.c_str());
  return 0;
}

}  // namespace
}  // namespace fabric::engine

int main(int count, char** words) {
  using namespace fabric::engine;
  signal(SIGPIPE, SIG_IGN);
  const auto options = parse_options(count, words);
  if (!options) {
    fprintf(stderr, "fabric-engine is started by the fabric daemon\n");
    return kExitUsage;
  }
  // A wake-up then takes no CPU away from whoever fills the queue, so batches are larger where CPUs are scarce.
  const sched_param priority{};
  sched_setscheduler(0, SCHED_BATCH, &priority);
  setpriority(PRIO_PROCESS, 0, kNice);
  return run(*options);
}
