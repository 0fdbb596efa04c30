// Base64 (RFC 4648 §4): stdin is arbitrary bytes and travels in JSON.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace fabric {

void append_base64(std::string& out, std::string_view bytes);

// Nothing unless it is padded base64 without white space.
std::optional<std::string> decode_base64(std::string_view text);

}  // namespace fabric
