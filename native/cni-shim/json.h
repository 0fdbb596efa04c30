// A pull reader and a string writer for JSON, as much as the shim needs: it looks at few members of a configuration
// and at the daemon's answers, and skips the rest. Input is untrusted: no read past the end, nesting bounded, no
// exceptions.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace fabric {

class JsonReader {
 public:
  explicit JsonReader(std::string_view text) : text_(text) {}

  // Reads an object; `member(key, reader)` must consume the value and return true to go on.
  template <typename Member>
  bool object(Member&& member) {
    if (!enter('{')) return false;
    if (take('}')) return leave();
    do {
      std::string key;
      if (!string(&key) || !take(':') || !member(std::string_view(key), *this)) return false;
    } while (take(','));
    return take('}') && leave();
  }

  // Unescapes into `out` (UTF-8); nullptr skips. A lone surrogate becomes U+FFFD.
  bool string(std::string* out);
  bool integer(int64_t* out);
  // Any value; also what a caller uses for members that it does not know.
  bool skip();
  // The next token's first character, 0 at the end.
  char peek();
  // True when nothing but white space is left.
  bool at_end() { return peek() == '\0' && offset_ == text_.size(); }

 private:
  static constexpr int kDepthMax = 512;

  bool take(char expected);
  bool enter(char open);
  bool leave();
  bool array();
  bool literal(std::string_view word);
  bool number();
  bool escape(std::string* out);
  bool hex4(uint32_t* out);

  std::string_view text_;
  size_t offset_ = 0;
  int depth_ = 0;
};

// Appends `text` as a JSON string; bytes that are no UTF-8 become U+FFFD, so that the document stays valid.
void append_json_string(std::string& out, std::string_view text);

// Equality without regard to ASCII case: member names of CNI documents are compared so.
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace fabric
