// AES-256-GCM and ChaCha20-Poly1305 with OpenSSL's EVP: the key schedule is made once, each datagram sets the nonce only.
#include <openssl/evp.h>

#include "aead.h"

namespace fabric::engine {
namespace {

struct FreeContext {
  // Zeroes the key schedule.
  void operator()(EVP_CIPHER_CTX* context) const { EVP_CIPHER_CTX_free(context); }
};
using Context = std::unique_ptr<EVP_CIPHER_CTX, FreeContext>;

Context make_context(Cipher cipher, Bytes key, bool encrypt) {
  Context context(EVP_CIPHER_CTX_new());
  const EVP_CIPHER* type = cipher == Cipher::kAes256Gcm ? EVP_aes_256_gcm() : EVP_chacha20_poly1305();
  if (!context || EVP_CipherInit_ex(context.get(), type, nullptr, key.data(), nullptr, encrypt ? 1 : 0) != 1) {
    return nullptr;
  }
  return context;
}

// OpenSSL's calls can't fail here: the context is valid, lengths are below 64 KiB. `begin` sets nonce and associated data.
void begin(EVP_CIPHER_CTX* context, uint64_t counter, Bytes associated) {
  uint8_t nonce[kNonceBytes];
  write_nonce(nonce, counter);
  int bytes = 0;
  EVP_CipherInit_ex(context, nullptr, nullptr, nullptr, nonce, -1);
  EVP_CipherUpdate(context, nullptr, &bytes, associated.data(), static_cast<int>(associated.size()));
}

class OpensslSealer : public Sealer {
 public:
  explicit OpensslSealer(Context context) : context_(std::move(context)) {}

  void seal(uint64_t counter, Bytes associated, Bytes prefix, Bytes body, uint8_t* out) override {
    begin(context_.get(), counter, associated);
    for (const Bytes part : {prefix, body}) {
      int bytes = 0;
      if (part.empty()) continue;
      EVP_EncryptUpdate(context_.get(), out, &bytes, part.data(), static_cast<int>(part.size()));
      out += part.size();
    }
    int bytes = 0;
    EVP_EncryptFinal_ex(context_.get(), out, &bytes);
    EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, out);
  }

 private:
  Context context_;
};

class OpensslOpener : public Opener {
 public:
  explicit OpensslOpener(Context context) : context_(std::move(context)) {}

  bool open(uint64_t counter, Bytes associated, MutableBytes sealed) override {
    begin(context_.get(), counter, associated);
    const size_t plain_bytes = sealed.size() - kTagBytes;
    int bytes = 0;
    EVP_DecryptUpdate(context_.get(), sealed.data(), &bytes, sealed.data(), static_cast<int>(plain_bytes));
    EVP_CIPHER_CTX_ctrl(context_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, sealed.data() + plain_bytes);
    return EVP_DecryptFinal_ex(context_.get(), sealed.data() + plain_bytes, &bytes) == 1;
  }

 private:
  Context context_;
};

class Openssl : public AeadLibrary {
 public:
  std::string name() const override { return "openssl"; }
  std::unique_ptr<Sealer> make_sealer(Cipher cipher, Bytes key) override {
    auto context = make_context(cipher, key, true);
    return context ? std::make_unique<OpensslSealer>(std::move(context)) : nullptr;
  }
  std::unique_ptr<Opener> make_opener(Cipher cipher, Bytes key) override {
    auto context = make_context(cipher, key, false);
    return context ? std::make_unique<OpensslOpener>(std::move(context)) : nullptr;
  }
};

class Best : public AeadLibrary {
 public:
  Best(std::unique_ptr<AeadLibrary> first, std::unique_ptr<AeadLibrary> second)
      : first_(std::move(first)), second_(std::move(second)) {}
  std::string name() const override { return first_->name(); }
  std::unique_ptr<Sealer> make_sealer(Cipher cipher, Bytes key) override {
    auto sealer = first_->make_sealer(cipher, key);
    return sealer ? std::move(sealer) : second_->make_sealer(cipher, key);
  }
  std::unique_ptr<Opener> make_opener(Cipher cipher, Bytes key) override {
    auto opener = first_->make_opener(cipher, key);
    return opener ? std::move(opener) : second_->make_opener(cipher, key);
  }

 private:
  std::unique_ptr<AeadLibrary> first_;
  std::unique_ptr<AeadLibrary> second_;
};

}  // namespace

std::unique_ptr<AeadLibrary> make_openssl() { return std::make_unique<Openssl>(); }

std::unique_ptr<AeadLibrary> make_best_aead(bool allow_ipsec_mb) {
  auto fast = allow_ipsec_mb ? make_ipsec_mb() : nullptr;
  if (!fast) return make_openssl();
  return std::make_unique<Best>(std::move(fast), make_openssl());
}

}  // namespace fabric::engine
