#!/usr/bin/env bash
# npm run demo: set-up (skipped while nothing changed), then two nodes in a lab on this machine. Options: --keep, --rounds N.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run
exec node bin/ripstop lab demo "$@"
