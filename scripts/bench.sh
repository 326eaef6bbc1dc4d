#!/usr/bin/env bash
# npm run bench: set-up (skipped while nothing changed), then `ripstop bench` on this machine. Options: --quick, --help.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh run
exec node bin/ripstop bench "$@"
