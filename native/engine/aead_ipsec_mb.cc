// AES-256-GCM with Intel's multi-buffer library (Debian libipsec-mb1), loaded at run time where it is installed. Its functions
// are reached through the IMB_MGR structure, whose layout belongs to a version: only the one compiled against is used.
#include "aead.h"

#if defined(__x86_64__) && __has_include(<intel-ipsec-mb.h>)

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <string.h>

namespace fabric::engine {
namespace {

constexpr const char* kLibrary = "libIPSec_MB.so.1";

struct Functions {
  decltype(&alloc_mb_mgr) allocate = nullptr;
  decltype(&free_mb_mgr) release = nullptr;
  decltype(&init_mb_mgr_auto) initialize = nullptr;
  decltype(&imb_get_version) version = nullptr;
};

// The library stays loaded: the managers' functions are in it.
const Functions* load() {
  static const Functions functions = [] {
    Functions found;
    void* library = dlopen(kLibrary, RTLD_NOW | RTLD_LOCAL);
    if (library == nullptr) return found;
    found.allocate = reinterpret_cast<decltype(found.allocate)>(dlsym(library, "alloc_mb_mgr"));
    found.release = reinterpret_cast<decltype(found.release)>(dlsym(library, "free_mb_mgr"));
    found.initialize = reinterpret_cast<decltype(found.initialize)>(dlsym(library, "init_mb_mgr_auto"));
    found.version = reinterpret_cast<decltype(found.version)>(dlsym(library, "imb_get_version"));
    return found;
  }();
  const bool complete = functions.allocate != nullptr && functions.release != nullptr &&
                        functions.initialize != nullptr && functions.version != nullptr &&
                        functions.version() == IMB_VERSION_NUM;
  return complete ? &functions : nullptr;
}

struct FreeManager {
  const Functions* functions;
  void operator()(IMB_MGR* manager) const { functions->release(manager); }
};
using Manager = std::shared_ptr<IMB_MGR>;

// The expanded key.
struct Key {
  Key(IMB_MGR* manager, Bytes key) { IMB_AES256_GCM_PRE(manager, key.data(), &expanded); }
  ~Key() { explicit_bzero(&expanded, sizeof expanded); }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;

  // The library stores to it aligned; its header says so only where LINUX is defined.
  alignas(64) gcm_key_data expanded;
};

class GcmSealer : public Sealer {
 public:
  GcmSealer(Manager manager, Bytes key) : manager_(std::move(manager)), key_(manager_.get(), key) {}

  void seal(uint64_t counter, Bytes associated, Bytes prefix, Bytes body, uint8_t* out) override {
    uint8_t nonce[kNonceBytes];
    write_nonce(nonce, counter);
    gcm_context_data context;
    IMB_MGR* manager = manager_.get();
    IMB_AES256_GCM_INIT(manager, &key_.expanded, &context, nonce, associated.data(), associated.size());
    IMB_AES256_GCM_ENC_UPDATE(manager, &key_.expanded, &context, out, prefix.data(), prefix.size());
    out += prefix.size();
    if (!body.empty()) IMB_AES256_GCM_ENC_UPDATE(manager, &key_.expanded, &context, out, body.data(), body.size());
    IMB_AES256_GCM_ENC_FINALIZE(manager, &key_.expanded, &context, out + body.size(), kTagBytes);
  }

 private:
  Manager manager_;
  Key key_;
};

class GcmOpener : public Opener {
 public:
  GcmOpener(Manager manager, Bytes key) : manager_(std::move(manager)), key_(manager_.get(), key) {}

  bool open(uint64_t counter, Bytes associated, MutableBytes sealed) override {
    uint8_t nonce[kNonceBytes];
    write_nonce(nonce, counter);
    gcm_context_data context;
    uint8_t tag[kTagBytes];
    const size_t plain_bytes = sealed.size() - kTagBytes;
    IMB_AES256_GCM_DEC(manager_.get(), &key_.expanded, &context, sealed.data(), sealed.data(), plain_bytes, nonce,
                       associated.data(), associated.size(), tag, kTagBytes);
    return same_tag(tag, sealed.data() + plain_bytes);
  }

 private:
  Manager manager_;
  Key key_;
};

class IpsecMb : public AeadLibrary {
 public:
  explicit IpsecMb(Manager manager) : manager_(std::move(manager)) {}

  std::string name() const override {
    const char* arch = manager_->features & IMB_FEATURE_VAES ? " vaes" : "";
    return std::string("ipsec-mb") + arch;
  }
  std::unique_ptr<Sealer> make_sealer(Cipher cipher, Bytes key) override {
    return cipher == Cipher::kAes256Gcm ? std::make_unique<GcmSealer>(manager_, key) : nullptr;
  }
  std::unique_ptr<Opener> make_opener(Cipher cipher, Bytes key) override {
    return cipher == Cipher::kAes256Gcm ? std::make_unique<GcmOpener>(manager_, key) : nullptr;
  }

 private:
  Manager manager_;
};

}  // namespace

std::unique_ptr<AeadLibrary> make_ipsec_mb() {
  const Functions* functions = load();
  if (functions == nullptr) return nullptr;
  Manager manager(functions->allocate(0), FreeManager{functions});
  if (!manager) return nullptr;
  functions->initialize(manager.get(), nullptr);
  const bool usable = (manager->features & IMB_FEATURE_AESNI) != 0 && manager->gcm256_pre != nullptr;
  return usable ? std::make_unique<IpsecMb>(std::move(manager)) : nullptr;
}

}  // namespace fabric::engine

#else

namespace fabric::engine {
std::unique_ptr<AeadLibrary> make_ipsec_mb() { return nullptr; }
}  // namespace fabric::engine

#endif
