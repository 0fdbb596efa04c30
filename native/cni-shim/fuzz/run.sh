#!/bin/sh
# Fuzzes the shim's parsers with AddressSanitizer and UndefinedBehaviorSanitizer: with libFuzzer where clang++ is
# installed (findings are kept in corpus/), else by replaying the corpus with seeded mutations.
# Usage: run.sh [SECONDS]    OUT names the build directory (default: a temporary one).
set -eu
seconds=${1:-10}
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$(mktemp -d)}
[ -n "${OUT:-}" ] || trap 'rm -rf "$out"' EXIT
sources="$here/fuzz_messages.cc $here/../messages.cc $here/../json.cc $here/../base64.cc"
flags="-std=c++20 -g -O1 -D_GNU_SOURCE -fno-sanitize-recover=all -Wall -Wextra"
if command -v clang++ >/dev/null 2>&1; then
  # shellcheck disable=SC2086 # words are meant
  clang++ $flags -fsanitize=fuzzer,address,undefined $sources -o "$out/fuzz_messages"
  "$out/fuzz_messages" -max_total_time="$seconds" -max_len=4096 -artifact_prefix="$out/" "$here/corpus"
else
  # shellcheck disable=SC2086
  g++ $flags -fsanitize=address,undefined $sources "$here/replay.cc" -o "$out/replay"
  "$out/replay" $((seconds * 2000)) "$here"/corpus/*
fi
