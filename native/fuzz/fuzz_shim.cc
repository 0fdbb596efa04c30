// libFuzzer entry for every parser of the CNI shim: configuration scan, answer, response head, JSON strings, base64.
// Beyond "no crash" it checks what must hold for all input; a broken property aborts.

#include <cstdint>
#include <cstdlib>

#include "../cni-shim/base64.h"
#include "../cni-shim/json.h"
#include "../cni-shim/messages.h"

namespace {

void require(bool property) {
  if (!property) abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace fabric;
  const std::string_view input(reinterpret_cast<const char*>(data), size);

  const ConfigScan scan = scan_config(input);
  require(scan.valid || (scan.run_dir.empty() && scan.cni_version.empty()));

  if (const std::optional<Answer> answer = parse_answer(input); answer && answer->exec) {
    require(is_plain_name(answer->exec->plugin));
    require(answer->exec->plugin.find('/') == std::string::npos);
  }

  ResponseHead head;
  if (parse_response_head(input, &head) == HeadState::kComplete) require(head.head_bytes <= size);

  // Any text written as JSON is read back; what was UTF-8 comes back as it was, so a second time changes nothing.
  std::string written;
  append_json_string(written, input);
  std::string read;
  JsonReader reader(written);
  require(reader.string(&read) && reader.at_end());
  std::string rewritten;
  append_json_string(rewritten, read);
  require(rewritten == written);

  std::string encoded;
  append_base64(encoded, input);
  require(decode_base64(encoded) == std::string(input));
  decode_base64(input);

  const ConfigScan echoed = scan_config(format_error(input, 1, input, input));
  require(echoed.valid && !echoed.cni_version.empty());
  return 0;
}
