#!/usr/bin/env bash
# npm test: set-up, then every test suite, or those named: npm test -- unit netns. Ends with "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/setup.sh dev || { echo "0 passed, 1 failed"; exit 1; }
exec node scripts/test.mjs "$@"
