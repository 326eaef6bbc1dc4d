#!/bin/bash
# Compiles native/bpf/NAME.bpf.c and writes its programs to native/bpf/generated/NAME.h (committed; users need no clang). `build-bpf.sh --check` fails when a committed header differs from what the sources give.
set -euo pipefail
cd "$(dirname "$0")/.."
for tool in clang node; do
  command -v $tool >/dev/null || { echo "build-bpf: $tool is missing; npm run setup installs it" >&2; exit 1; }
done
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
out=native/bpf/generated; [ "${1:-}" = --check ] && out=$work/generated
mkdir -p "$out"
for source in native/bpf/*.bpf.c; do
  stem=$(basename "$source" .bpf.c)
  clang -O2 -target bpf -Wall -Wextra -Werror -Inative \
    -I"/usr/include/$(uname -m)-linux-gnu" -c "$source" -o "$work/$stem.bpf.o"
  node scripts/write-bpf-header.mjs "$work/$stem.bpf.o" "$source" >"$work/$stem.h"
  # Touch only what changed: the C build follows time stamps.
  cmp -s "$work/$stem.h" "$out/$stem.h" || cp "$work/$stem.h" "$out/$stem.h"
done
if [ "${1:-}" = --check ]; then
  diff -rq "$out" native/bpf/generated || { echo "build-bpf: run scripts/build-bpf.sh and commit the result" >&2; exit 1; }
fi
