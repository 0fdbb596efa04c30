// See messages.h.
#include "messages.h"

#include "base64.h"
#include "json.h"

namespace fabric {
namespace {

// As CNI_VERSIONS in src/cni-plugin/version.ts; test/e2e/cni-shim.ts compares the two.
constexpr std::string_view kVersions[] = {"0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"};
constexpr std::string_view kNewest = kVersions[std::size(kVersions) - 1];

constexpr size_t kHeadBytesMax = 16 * 1024;
// An order to run a plugin carries stdin (16 MiB) in base64.
constexpr size_t kBodyBytesMax = 32 * 1024 * 1024;
constexpr size_t kNameBytesMax = 255;
constexpr size_t kOrderVariablesMax = 64;

// A string into `out`, anything else skipped: a wrong type is the daemon's to complain about.
bool string_or_skip(JsonReader& reader, std::string* out) {
  if (reader.peek() != '"') return reader.skip();
  out->clear();
  return reader.string(out);
}

bool scan_ipam(JsonReader& reader, ConfigScan* scan) {
  scan->ipam_type.clear();
  if (reader.peek() != '{') return reader.skip();
  return reader.object([&](std::string_view key, JsonReader& value) {
    return equal_ignoring_case(key, "type") ? string_or_skip(value, &scan->ipam_type) : value.skip();
  });
}

bool read_variables(JsonReader& reader, Variables* env) {
  return reader.object([&](std::string_view key, JsonReader& value) {
    std::string text;
    if (env->size() >= kOrderVariablesMax || !value.string(&text)) return false;
    const bool usable = !key.empty() && key.find('=') == std::string_view::npos &&
                        key.find('\0') == std::string_view::npos && text.find('\0') == std::string::npos;
    if (usable) env->emplace_back(std::string(key), std::move(text));
    return usable;
  });
}

std::optional<ExecOrder> read_order(JsonReader& reader) {
  ExecOrder order;
  std::string encoded;
  const bool read = reader.object([&](std::string_view key, JsonReader& value) {
    if (key == "plugin") return value.string(&order.plugin);
    if (key == "env") return read_variables(value, &order.env);
    if (key == "stdin") return value.string(&encoded);
    if (key == "continuation") return value.string(&order.continuation);
    return value.skip();
  });
  std::optional<std::string> stdin_bytes = decode_base64(encoded);
  if (!read || !stdin_bytes || !is_plain_name(order.plugin) || order.continuation.empty()) return std::nullopt;
  order.stdin_bytes = std::move(*stdin_bytes);
  return order;
}

void append_member(std::string& out, std::string_view name, std::string_view text) {
  append_json_string(out, name);
  out.push_back(':');
  append_json_string(out, text);
}

void append_call(std::string& out, const Variables& env, std::string_view stdin_bytes) {
  out += "\"env\":{";
  for (size_t i = 0; i < env.size(); i++) {
    if (i > 0) out.push_back(',');
    append_member(out, env[i].first, env[i].second);
  }
  out += "},\"stdin\":\"";
  append_base64(out, stdin_bytes);
  out.push_back('"');
}

bool is_blank(char c) { return c == ' ' || c == '\t'; }

// Digits alone, below the limit.
bool parse_length(std::string_view text, size_t* out) {
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  if (text.empty() || text.size() > 9) return false;
  size_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<size_t>(c - '0');
  }
  *out = value;
  return value <= kBodyBytesMax;
}

}  // namespace

const char kAboutText[] =
    "fabric: CNI plugin of the fabric overlay network\n"
    "CNI protocol versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n";

ConfigScan scan_config(std::string_view stdin_bytes) {
  ConfigScan scan;
  JsonReader reader(stdin_bytes);
  const bool read = reader.object([&](std::string_view key, JsonReader& value) {
    if (equal_ignoring_case(key, "cniVersion")) return string_or_skip(value, &scan.cni_version);
    if (equal_ignoring_case(key, "runDir")) return string_or_skip(value, &scan.run_dir);
    if (equal_ignoring_case(key, "stateDir")) return string_or_skip(value, &scan.state_dir);
    if (equal_ignoring_case(key, "ipam")) return scan_ipam(value, &scan);
    return value.skip();
  });
  if (!read || !reader.at_end()) return ConfigScan{};
  scan.valid = true;
  return scan;
}

std::optional<Answer> parse_answer(std::string_view body) {
  Answer answer;
  int64_t exit_code = -1;
  JsonReader reader(body);
  const bool read = reader.object([&](std::string_view key, JsonReader& value) {
    if (key == "exitCode") return value.integer(&exit_code);
    if (key == "stdout") return value.string(&answer.out);
    if (key == "stderr") return value.string(&answer.err);
    if (key != "exec" || value.peek() != '{') return value.skip();
    answer.exec = read_order(value);
    return answer.exec.has_value();
  });
  if (!read || !reader.at_end() || exit_code < 0 || exit_code > 255) return std::nullopt;
  answer.exit_code = static_cast<int>(exit_code);
  return answer;
}

HeadState parse_response_head(std::string_view received, ResponseHead* head) {
  const size_t end = received.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    return received.size() > kHeadBytesMax ? HeadState::kMalformed : HeadState::kIncomplete;
  }
  std::string_view rest = received.substr(0, end);
  const auto next_line = [&] {
    const size_t at = rest.find("\r\n");
    const std::string_view line = rest.substr(0, at);
    rest.remove_prefix(at == std::string_view::npos ? rest.size() : at + 2);
    return line;
  };
  const std::string_view status = next_line();
  if (end > kHeadBytesMax || status.size() < 12 || status.substr(0, 9) != "HTTP/1.1 ") return HeadState::kMalformed;
  head->status = 0;
  for (const char c : status.substr(9, 3)) {
    if (c < '0' || c > '9') return HeadState::kMalformed;
    head->status = head->status * 10 + (c - '0');
  }
  bool has_length = false;
  while (!rest.empty()) {
    const std::string_view line = next_line();
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return HeadState::kMalformed;
    if (!equal_ignoring_case(line.substr(0, colon), "content-length")) continue;
    if (has_length || !parse_length(line.substr(colon + 1), &head->body_bytes)) return HeadState::kMalformed;
    has_length = true;
  }
  head->head_bytes = end + 4;
  return has_length ? HeadState::kComplete : HeadState::kMalformed;
}

bool is_plain_name(std::string_view name) {
  if (name.empty() || name.size() > kNameBytesMax) return false;
  for (size_t i = 0; i < name.size(); i++) {
    const char c = name[i];
    const bool alphanumeric = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
    if (!alphanumeric && (i == 0 || (c != '_' && c != '.' && c != '-'))) return false;
  }
  return true;
}

std::string format_request(const Variables& env, std::string_view stdin_bytes, pid_t pid, const OpenedNamespace& netns,
                           const OpenedNamespace& own) {
  std::string out = "{";
  append_call(out, env, stdin_bytes);
  out += ",\"pid\":" + std::to_string(pid);
  if (netns.fd >= 0) {
    out += ",\"fd\":" + std::to_string(netns.fd);
    out += ",\"dev\":\"" + std::to_string(netns.dev) + "\",\"ino\":\"" + std::to_string(netns.ino) + "\"";
  }
  if (!netns.error.empty()) {
    out.push_back(',');
    append_member(out, "netnsError", netns.error);
  }
  if (own.fd >= 0) {
    out += ",\"callerDev\":\"" + std::to_string(own.dev) + "\",\"callerIno\":\"" + std::to_string(own.ino) + "\"";
  }
  out.push_back('}');
  return out;
}

std::string format_exec_report(std::string_view continuation, int exit_code, std::string_view out_bytes,
                               std::string_view err_bytes) {
  std::string out = "{";
  append_member(out, "continuation", continuation);
  out += ",\"exitCode\":" + std::to_string(exit_code) + ",\"stdout\":\"";
  append_base64(out, out_bytes);
  out += "\",\"stderr\":\"";
  append_base64(out, err_bytes);
  out += "\"}";
  return out;
}

std::string format_deferred_delete(const Variables& env, std::string_view stdin_bytes) {
  std::string out = "{\"format\":1,";
  append_call(out, env, stdin_bytes);
  out += "}\n";
  return out;
}

std::string format_error(std::string_view cni_version, int code, std::string_view message, std::string_view details) {
  std::string_view version = kNewest;
  for (const std::string_view known : kVersions) {
    if (known == cni_version) version = known;
  }
  std::string out = "{";
  append_member(out, "cniVersion", version);
  out += ",\"code\":" + std::to_string(code) + ",";
  append_member(out, "msg", message);
  if (!details.empty()) {
    out.push_back(',');
    append_member(out, "details", details);
  }
  out += "}\n";
  return out;
}

std::string format_versions(std::string_view cni_version) {
  std::string out = "{";
  append_member(out, "cniVersion", cni_version.empty() ? kNewest : cni_version);
  out += ",\"supportedVersions\":[";
  for (const std::string_view version : kVersions) {
    if (out.back() != '[') out.push_back(',');
    append_json_string(out, version);
  }
  out += "]}\n";
  return out;
}

}  // namespace fabric
