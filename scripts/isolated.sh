#!/usr/bin/env bash
# scripts/isolated.sh COMMAND...: runs a command as root in a network and a mount namespace of its own: only loopback, and
# its own /run, /sys and /var/lib/ripstop. Tests in it cannot touch the machine's network, nor meet each other's names.
set -euo pipefail
[ $# -gt 0 ] || { echo "usage: scripts/isolated.sh COMMAND..." >&2; exit 2; }
[ "$(id -u)" = 0 ] || { echo "isolated: root is needed to make namespaces; run it again with sudo or as root" >&2; exit 1; }
if [ "${RIPSTOP_ISOLATED:-}" != inside ]; then
  exec env RIPSTOP_ISOLATED=inside unshare --mount --net --propagation private -- "$0" "$@"
fi
unset RIPSTOP_ISOLATED
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock /run/netns /var/lib/ripstop
mount -t tmpfs -o mode=700 tmpfs /var/lib/ripstop
mount -t sysfs sysfs /sys # shows the devices of the new namespace
mount -t bpf bpf /sys/fs/bpf
ip link set lo up
exec "$@"
