#!/bin/sh
# Fuzzes every native entry that sees bytes from outside, with libFuzzer, AddressSanitizer and UndefinedBehaviorSanitizer:
#   datagrams  UDP datagrams into the receive lane, also with valid keys      pieces   reassembly, with clock steps
#   frames     frames of the port, with virtio-net headers, into the send lane  commands the control socket, whole engine
#   netlink    headers of the kernel's netlink messages (addon)               shim     what the CNI plugin parses
# Usage: run.sh SECONDS [TARGET...]   each for so long (0: the kept corpus alone), two at a time.
#        run.sh --merge DIR [TARGET...]   adds what DIR/TARGET has that is new to the kept corpus.
# GROWN=DIR keeps in DIR/TARGET what a target grows, for --merge; else that is thrown away.
# A finding is written to build/sanitized/findings and ends the run with 1. Needs root and clang++.
set -eu
cd "$(dirname "$0")/.."
targets="datagrams frames pieces commands netlink shim"
out=build/sanitized
findings=$out/findings

merge=
if [ "${1:-}" = --merge ]; then
  merge=$2
  shift
else
  seconds=$1
fi
shift
[ $# -eq 0 ] || targets=$*

make -s -j2 -f sanitized.mk fuzz
mkdir -p "$findings"

# The kept corpus is read only.
fuzz() {
  thrown=$(mktemp -d)
  grown=${GROWN:+$GROWN/$1}
  mkdir -p "${grown:=$thrown}"
  log=$findings/$1.log
  limit="-max_total_time=$seconds"
  [ "$seconds" -gt 0 ] || limit=-runs=0
  status=0
  "$out/fuzz_$1" "$limit" -max_len=4096 -timeout=20 -rss_limit_mb=2048 -artifact_prefix="$findings/$1-" \
    "$grown" "fuzz/corpus/$1" >"$log" 2>&1 || status=$?
  rm -rf "$thrown"
  if [ $status -eq 0 ]; then
    echo "ok $1: $(grep -o 'Done .*' "$log"), $(grep -o 'cov: [0-9]*' "$log" | tail -n 1)"
  else
    tail -n 40 "$log"
    echo "not ok $1: exit code $status, input in $(cd "$findings" && pwd)"
  fi
  return $status
}

if [ -n "$merge" ]; then
  for target in $targets; do
    "$out/fuzz_$target" -set_cover_merge=1 -max_len=2048 "fuzz/corpus/$target" "$merge/$target" 2>&1 | tail -n 1
  done
  exit 0
fi

failed=0
set -- $targets
while [ $# -gt 0 ]; do
  fuzz "$1" &
  first=$!
  second=
  if [ $# -gt 1 ]; then
    fuzz "$2" &
    second=$!
    shift
  fi
  shift
  wait "$first" || failed=1
  [ -z "$second" ] || wait "$second" || failed=1
done
exit $failed
