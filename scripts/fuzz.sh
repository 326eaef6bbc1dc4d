#!/usr/bin/env bash
# npm run fuzz -- TARGET SECONDS: builds the fuzzers with clang and runs one (or "all") for so long. Finds go to
# test/fuzz/corpus/TARGET as crash-*; new inputs stay under build-fuzz/corpus/TARGET. Without arguments: lists targets.
set -euo pipefail
cd "$(dirname "$0")/.."
targets=$(find test/fuzz -name '*_fuzz.cc' -printf '%f\n' 2>/dev/null | sed 's/_fuzz\.cc$//' | sort)
[ $# -ge 1 ] || { echo "usage: npm run fuzz -- TARGET|all [SECONDS]; targets: $(echo $targets)" >&2; exit 2; }
seconds=${2:-60}
[[ $seconds =~ ^[0-9]+$ ]] || { echo "fuzz: '$seconds' is not a number of seconds" >&2; exit 2; }
if [ "$1" != all ]; then
  grep -qxF "$1" <<<"$targets" || { echo "fuzz: no target '$1'; there are: $(echo $targets)" >&2; exit 2; }
  targets=$1
fi
node scripts/build-native.mjs fuzz
passed=0 failed=0
for target in $targets; do
  mkdir -p "test/fuzz/corpus/$target" "build-fuzz/corpus/$target"
  echo "=== $target for $seconds s"
  # The first folder receives new inputs, the committed corpus is only read; crashes are kept to be committed.
  if "build-fuzz/${target}_fuzz" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -artifact_prefix="test/fuzz/corpus/$target/" "build-fuzz/corpus/$target" "test/fuzz/corpus/$target" \
    >"build-fuzz/$target.log" 2>&1; then
    grep -E 'stat::(number_of_executed_units|average_exec_per_sec|new_units_added)' "build-fuzz/$target.log"
    passed=$((passed + 1))
  else
    tail -n 40 "build-fuzz/$target.log"
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
