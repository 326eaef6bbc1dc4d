#!/usr/bin/env bash
# Debian's Docker engine and a busybox, unpacked and not installed: nothing of it is started on this machine, tests run it on hosts
# of their own (test/support/docker-host.ts). Kept outside the checkout. scripts/fetch-docker.sh --path prints where, or nothing.
set -euo pipefail
place=${RIPSTOP_PEERS_DIR:-${XDG_CACHE_HOME:-${HOME:-/root}/.cache}/ripstop-peers}/docker-engine
packages=(docker.io containerd runc busybox-static)

if [ "${1:-}" = --path ]; then [ ! -d "$place" ] || echo "$place"; exit 0; fi
if [ -d "$place" ]; then echo "docker: is there"; exit 0; fi
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT
cd "$work"
if ! { apt-get download -q "${packages[@]}" && for file in *.deb; do dpkg-deb -x "$file" engine; done; } >log 2>&1; then
  tail -n 3 log
  echo "docker: Debian's packages ${packages[*]} cannot be had here; its tests are skipped"
  exit 0
fi
mkdir -p "$(dirname "$place")"
mv engine "$place"
echo "docker: fetched"
