#!/usr/bin/env bash
# npm run sanitize: the native tests under AddressSanitizer with UndefinedBehaviorSanitizer, then under ThreadSanitizer.
# One of them: npm run sanitize -- asan. Arguments after -- go to GoogleTest.
set -euo pipefail
cd "$(dirname "$0")/.."
variants=()
while [ $# -gt 0 ] && [ "$1" != "--" ]; do variants+=("$1"); shift; done
[ "${1:-}" = "--" ] && shift
[ ${#variants[@]} -gt 0 ] || variants=(asan tsan)

passed=0 failed=0
for variant in "${variants[@]}"; do
  case $variant in asan | tsan) ;; *) echo "sanitize: no variant '$variant'; there are: asan, tsan" >&2; exit 2 ;; esac
  echo "=== $variant: building"
  node scripts/build-native.mjs "$variant"
  echo "=== $variant: running"
  # Death tests fork; the sanitizers then want their own way of doing it.
  if ASAN_OPTIONS=detect_leaks=1:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1 \
    TSAN_OPTIONS=halt_on_error=1:second_deadlock_stack=1 \
    "build-$variant/ripstop_tests" --gtest_brief=1 --gtest_death_test_style=threadsafe "$@"; then
    passed=$((passed + 1))
  else
    failed=$((failed + 1))
  fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
