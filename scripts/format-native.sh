#!/usr/bin/env bash
# Formats C and C++ with clang-format; with --check only says what is not formatted. Generated headers are left alone.
set -euo pipefail
cd "$(dirname "$0")/.."
mode=-i
[ "${1:-}" = "--check" ] && mode="--dry-run --Werror"
git ls-files -z --cached --others --exclude-standard -- 'native/*.h' 'native/*.cc' 'native/*.c' \
  'test/*.h' 'test/*.cc' 'test/*.c' 'bench/*.h' 'bench/*.cc' 'examples/*.cc' ':!:native/bpf/generated' |
  while IFS= read -r -d '' file; do [ -f "$file" ] && printf '%s\0' "$file"; done |
  xargs -0 -r -n 16 -P 2 clang-format $mode
