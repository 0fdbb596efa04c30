// Authenticated encryption behind one small interface, so that the machine's best implementation serves: Intel's multi-buffer
// library where it is installed (x86-64, VAES), else OpenSSL. Objects serve one thread at a time, hold one key and zero it when
// they end. The nonce is four zero bytes and the counter, in network order.
#pragma once

#include <memory>
#include <string>

#include "bytes.h"
#include "wire.h"

namespace fabric::engine {

enum class Cipher : uint8_t { kAes256Gcm = 1, kChaCha20Poly1305 = 2 };
constexpr size_t kKeyBytes = 32;
constexpr size_t kNonceBytes = 12;

class Sealer {
 public:
  virtual ~Sealer() = default;
  // Encrypts `prefix` and `body`, one behind the other, to `out`, and puts the tag behind them.
  virtual void seal(uint64_t counter, Bytes associated, Bytes prefix, Bytes body, uint8_t* out) = 0;
};

class Opener {
 public:
  virtual ~Opener() = default;
  // Decrypts in place; the last 16 bytes are the tag. False: forged, and the bytes are garbage.
  virtual bool open(uint64_t counter, Bytes associated, MutableBytes sealed) = 0;
};

class AeadLibrary {
 public:
  virtual ~AeadLibrary() = default;
  // Such as "openssl" or "ipsec-mb avx512".
  virtual std::string name() const = 0;
  // Null when the library has not got the cipher. `key` has kKeyBytes and is not kept.
  virtual std::unique_ptr<Sealer> make_sealer(Cipher cipher, Bytes key) = 0;
  virtual std::unique_ptr<Opener> make_opener(Cipher cipher, Bytes key) = 0;
};

std::unique_ptr<AeadLibrary> make_openssl();
// Null when libipsec-mb is not there, is another version than the one compiled against, or the machine can't run it.
std::unique_ptr<AeadLibrary> make_ipsec_mb();
// What serves best here: each cipher from the first library that has it.
std::unique_ptr<AeadLibrary> make_best_aead(bool allow_ipsec_mb);

inline void write_nonce(uint8_t* to, uint64_t counter) {
  store_u32(to, 0);
  store_u64(to + 4, counter);
}

// Takes the same time wherever the tags differ.
inline bool same_tag(const uint8_t* a, const uint8_t* b) {
  uint64_t words[4];
  memcpy(words, a, kTagBytes);
  memcpy(words + 2, b, kTagBytes);
  return ((words[0] ^ words[2]) | (words[1] ^ words[3])) == 0;
}

}  // namespace fabric::engine
