// Drives the fuzz entry where there is no libFuzzer: every file given, and a number of seeded mutations of each. Far
// weaker than coverage-guided fuzzing, but it needs nothing beyond the compiler of the bootstrap.
// Usage: replay MUTATIONS FILE...

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

uint64_t state = 0x9e3779b97f4a7c15;

// xorshift64: the same mutations in every run.
uint64_t next() {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state;
}

std::string read_file(const char* path) {
  std::string bytes;
  FILE* file = fopen(path, "rb");
  if (file == nullptr) return bytes;
  char buffer[4096];
  for (size_t got; (got = fread(buffer, 1, sizeof buffer, file)) > 0;) bytes.append(buffer, got);
  fclose(file);
  return bytes;
}

void mutate(std::string& bytes) {
  static const char kTokens[] = "{}[]\",:\\u0d8n\r\n\x00\xff-1.e";
  for (uint64_t edits = 1 + next() % 4; edits > 0; edits--) {
    const size_t at = bytes.empty() ? 0 : next() % bytes.size();
    const char token = kTokens[next() % (sizeof kTokens - 1)];
    switch (next() % 4) {
      case 0:
        bytes.insert(at, 1, token);
        break;
      case 1:
        if (!bytes.empty()) bytes.erase(at, 1 + next() % 3);
        break;
      case 2:
        if (!bytes.empty()) bytes[at] = token;
        break;
      default:
        bytes.resize(at);
    }
  }
}

void run(const std::string& bytes) {
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size());
}

}  // namespace

int main(int argc, char** argv) {
  const long mutations = argc > 1 ? atol(argv[1]) : 0;
  for (int i = 2; i < argc; i++) {
    const std::string original = read_file(argv[i]);
    run(original);
    for (long round = 0; round < mutations; round++) {
      std::string mutated = original;
      mutate(mutated);
      run(mutated);
    }
  }
  printf("replayed %d files, %ld mutations each\n", argc > 2 ? argc - 2 : 0, mutations);
  return 0;
}
