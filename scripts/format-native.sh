#!/usr/bin/env bash
# Formats C and C++ with clang-format; with --check only says what is not formatted. Generated headers are left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=-i
[ "${1:-}" = "--check" ] && mode="--dry-run --Werror"
find $(ls -d native test bench examples 2>/dev/null) -type f \( -name '*.h' -o -name '*.cc' -o -name '*.c' \) ! -path 'native/bpf/generated/*' \
  -print0 2>/dev/null | xargs -0 -r -n 16 -P 2 clang-format $mode
