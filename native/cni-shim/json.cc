// RFC 8259, strict where it costs nothing. See json.h.
#include "json.h"

#include <cstdio>

namespace fabric {
namespace {

constexpr uint32_t kReplacement = 0xfffd;

bool is_digit(char c) { return c >= '0' && c <= '9'; }

char lower(char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; }

void append_utf8(std::string* out, uint32_t code) {
  if (out == nullptr) return;
  if (code < 0x80) {
    out->push_back(static_cast<char>(code));
  } else if (code < 0x800) {
    out->push_back(static_cast<char>(0xc0 | (code >> 6)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else if (code < 0x10000) {
    out->push_back(static_cast<char>(0xe0 | (code >> 12)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  } else {
    out->push_back(static_cast<char>(0xf0 | (code >> 18)));
    out->push_back(static_cast<char>(0x80 | ((code >> 12) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | ((code >> 6) & 0x3f)));
    out->push_back(static_cast<char>(0x80 | (code & 0x3f)));
  }
}

// Length of the well-formed UTF-8 sequence at the start (RFC 3629: no surrogates, no overlong forms), 0 without one.
size_t utf8_length(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char first = byte(0);
  if (first < 0x80) return 1;
  const size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4 || text.size() < length) return 0;
  for (size_t i = 1; i < length; i++) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
  }
  const unsigned char second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f)) return 0;
  if ((first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f)) return 0;
  return length;
}

}  // namespace

char JsonReader::peek() {
  while (offset_ < text_.size()) {
    const char c = text_[offset_];
    if (c != ' ' && c != '\t' && c != '\n' && c != '\r') return c;
    offset_++;
  }
  return '\0';
}

bool JsonReader::take(char expected) {
  if (peek() != expected || offset_ == text_.size()) return false;
  offset_++;
  return true;
}

bool JsonReader::enter(char open) {
  if (depth_ >= kDepthMax || !take(open)) return false;
  depth_++;
  return true;
}

bool JsonReader::leave() {
  depth_--;
  return true;
}

bool JsonReader::string(std::string* out) {
  if (!take('"')) return false;
  while (offset_ < text_.size()) {
    const char c = text_[offset_++];
    if (c == '"') return true;
    if (static_cast<unsigned char>(c) < 0x20) return false;
    if (c == '\\') {
      if (!escape(out)) return false;
    } else if (out != nullptr) {
      out->push_back(c);
    }
  }
  return false;
}

bool JsonReader::escape(std::string* out) {
  if (offset_ == text_.size()) return false;
  const char c = text_[offset_++];
  constexpr std::string_view kNames = "\"\\/bfnrt";
  constexpr std::string_view kValues = "\"\\/\b\f\n\r\t";
  if (const size_t at = kNames.find(c); at != std::string_view::npos) {
    append_utf8(out, static_cast<unsigned char>(kValues[at]));
    return true;
  }
  uint32_t code = 0;
  if (c != 'u' || !hex4(&code)) return false;
  if (code >= 0xd800 && code < 0xdc00 && text_.substr(offset_, 2) == "\\u") {
    const size_t before = offset_;
    offset_ += 2;
    uint32_t low = 0;
    if (!hex4(&low)) return false;
    if (low >= 0xdc00 && low < 0xe000) {
      append_utf8(out, 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00));
      return true;
    }
    offset_ = before;
  }
  append_utf8(out, code >= 0xd800 && code < 0xe000 ? kReplacement : code);
  return true;
}

bool JsonReader::hex4(uint32_t* out) {
  if (text_.size() - offset_ < 4) return false;
  for (int i = 0; i < 4; i++) {
    const char c = lower(text_[offset_++]);
    if (!is_digit(c) && (c < 'a' || c > 'f')) return false;
    *out = *out * 16 + static_cast<uint32_t>(is_digit(c) ? c - '0' : c - 'a' + 10);
  }
  return true;
}

bool JsonReader::integer(int64_t* out) {
  peek();
  const size_t start = offset_;
  if (!number()) return false;
  const std::string_view digits = text_.substr(start, offset_ - start);
  const bool negative = digits.front() == '-';
  int64_t value = 0;
  for (const char c : digits.substr(negative ? 1 : 0)) {
    if (!is_digit(c) || value > (INT64_MAX - 9) / 10) return false;
    value = value * 10 + (c - '0');
  }
  *out = negative ? -value : value;
  return true;
}

bool JsonReader::number() {
  const auto digits = [&] {
    const size_t start = offset_;
    while (offset_ < text_.size() && is_digit(text_[offset_])) offset_++;
    return offset_ > start;
  };
  take('-');
  if (offset_ < text_.size() && text_[offset_] == '0') {
    offset_++;
  } else if (!digits()) {
    return false;
  }
  if (offset_ < text_.size() && text_[offset_] == '.') {
    offset_++;
    if (!digits()) return false;
  }
  if (offset_ < text_.size() && lower(text_[offset_]) == 'e') {
    offset_++;
    if (offset_ < text_.size() && (text_[offset_] == '+' || text_[offset_] == '-')) offset_++;
    if (!digits()) return false;
  }
  return true;
}

bool JsonReader::skip() {
  switch (peek()) {
    case '{':
      return object([](std::string_view, JsonReader& reader) { return reader.skip(); });
    case '[':
      return array();
    case '"':
      return string(nullptr);
    case 't':
      return literal("true");
    case 'f':
      return literal("false");
    case 'n':
      return literal("null");
    default:
      return number();
  }
}

bool JsonReader::array() {
  if (!enter('[')) return false;
  if (take(']')) return leave();
  do {
    if (!skip()) return false;
  } while (take(','));
  return take(']') && leave();
}

bool JsonReader::literal(std::string_view word) {
  if (text_.substr(offset_, word.size()) != word) return false;
  offset_ += word.size();
  return true;
}

void append_json_string(std::string& out, std::string_view text) {
  out.push_back('"');
  while (!text.empty()) {
    const unsigned char c = static_cast<unsigned char>(text.front());
    size_t length = utf8_length(text);
    if (length == 0) {
      append_utf8(&out, kReplacement);
      length = 1;
    } else if (c == '"' || c == '\\') {
      out.push_back('\\');
      out.push_back(static_cast<char>(c));
    } else if (c < 0x20) {
      char escaped[8];
      snprintf(escaped, sizeof escaped, "\\u%04x", c);
      out += escaped;
    } else {
      out.append(text.substr(0, length));
    }
    text.remove_prefix(length);
  }
  out.push_back('"');
}

bool equal_ignoring_case(std::string_view a, std::string_view b) {
  if (a.size() != b.size()) return false;
  for (size_t i = 0; i < a.size(); i++) {
    if (lower(a[i]) != lower(b[i])) return false;
  }
  return true;
}

}  // namespace fabric
