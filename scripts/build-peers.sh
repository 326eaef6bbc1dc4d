#!/usr/bin/env bash
# Builds the real programs that Ripstop is tested against, from their Go modules: scripts/build-peers.sh [NAME...]; without
# names all of test/peers/*/go.mod. The result is kept outside the checkout and built again only when its pins or Go change.
# scripts/build-peers.sh --path NAME prints where it is, or nothing when it is not built.
set -euo pipefail
cd "$(dirname "$0")/.."
cache=${RIPSTOP_PEERS_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ripstop-peers}

place() { # NAME: the binary's path; its folder names everything it was made of
  local hash
  hash=$({ cd "test/peers/$1"; find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum; go version; } | sha256sum)
  echo "$cache/$1-${hash:0:16}/$1"
}

if [ "${1:-}" = --path ]; then
  command -v go >/dev/null || exit 0
  binary=$(place "$2"); [ ! -x "$binary" ] || echo "$binary"
  exit 0
fi

names=("$@")
[ ${#names[@]} -gt 0 ] || mapfile -t names < <(cd test/peers && for pin in */go.mod; do echo "${pin%/go.mod}"; done)
if ! command -v go >/dev/null; then
  echo "peers: Go is missing, so ${names[*]} cannot be built and their tests are skipped; install Go 1.26 or newer to run them"
  exit 0
fi
mkdir -p "$cache"
for name in "${names[@]}"; do
  [ -f "test/peers/$name/go.mod" ] || { echo "peers: there is no test/peers/$name/go.mod" >&2; exit 2; }
  binary=$(place "$name")
  if [ -x "$binary" ]; then echo "peers: $name is built"; continue; fi
  package=$(sed -n 's/^import _ "\(.*\)"$/\1/p' "test/peers/$name/tools.go")
  echo "peers: building $name from $package (minutes the first time)"
  mkdir -p "$(dirname "$binary")"
  # To a name of its own first: a build that is interrupted leaves no half binary under the final one.
  if (cd "test/peers/$name" && CGO_ENABLED=${CGO_ENABLED:-1} go build -ldflags '-s -w' -o "$binary.new" "$package") \
    >"$binary.log" 2>&1; then
    mv "$binary.new" "$binary"
    find "$cache" -mindepth 1 -maxdepth 1 -name "$name-*" ! -path "$(dirname "$binary")" -exec rm -rf {} +
  else
    tail -n 15 "$binary.log"
    echo "peers: $name does not build here (all output: $binary.log); its tests are skipped"
  fi
done
