#!/usr/bin/env bash
# Installs what is missing and builds what has changed: scripts/setup.sh [run|dev|page]. "run" is enough for the demo; "dev"
# (the default) adds what tests and checks need, "page" adds a browser to "run". Safe to repeat: each step is skipped while a hash of its inputs, kept
# under .setup/, still holds. A step that fails says in one line what to do.
set -Eeuo pipefail
cd "$(dirname "$0")/.."
level=${1:-dev}
steps=4; [ "$level" = dev ] && steps=5
started=$SECONDS
step=0

fail() { trap - ERR; echo "setup: $*" >&2; exit 1; }
trap 'fail "stopped at line $LINENO of scripts/setup.sh; run bash -x scripts/setup.sh to see why"' ERR
announce() { step=$((step + 1)); printf '[%d/%d] %s\n' "$step" "$steps" "$*"; }

case $level in run | dev | page) ;; *) fail "no level '$level'; there are: run, dev, page" ;; esac
[ "$(uname -s)" = Linux ] || fail "Ripstop needs Linux; use a Debian 12 machine or virtual machine"
[ "$(id -u)" = 0 ] || fail "root is needed for packages and network namespaces; run it again with sudo or as root"
node -e 'const [a, b] = process.versions.node.split(".").map(Number); process.exit(a > 20 || (a === 20 && b >= 19) ? 0 : 1)' \
  2>/dev/null || fail "Node.js 20.19 or newer is needed; install it (Debian 12: from nodejs.org or nodesource) and run again"

mkdir -p .setup
exec 9>.setup/lock
flock -n 9 || { echo "setup: another set-up is running here; waiting for it"; flock 9; }

# Runs a command quietly; on failure shows the end of its output and the remedy.
quietly() {
  local log=$1 remedy=$2
  shift 2
  "$@" >".setup/$log.log" 2>&1 </dev/null || { tail -n 25 ".setup/$log.log" >&2; fail "$remedy (all output: .setup/$log.log)"; }
}
digest() { { find "$@" -type f -print0 2>/dev/null || true; } | LC_ALL=C sort -z | xargs -0 -r sha256sum | sha256sum; }
unchanged() { [ -f ".setup/$1.stamp" ] && [ "$(cat ".setup/$1.stamp")" = "$2" ]; }
stamp() { echo "$2" >".setup/$1.stamp"; }

# Names of packages in $1 (a level of scripts/packages.txt), and of those that are missing.
wanted() { awk -v level="$1" '$1 == level { print $2 }' scripts/packages.txt; }
missing() { command -v dpkg-query >/dev/null && wanted "$1" | grep -vxFf <(installed) || true; }
installed() { dpkg-query -W -f='${db:Status-Status} ${Package}\n' 2>/dev/null | awk '$1 == "installed" { print $2 }'; }
install_packages() {
  command -v apt-get >/dev/null || fail "apt-get is missing; install by hand: $*"
  export DEBIAN_FRONTEND=noninteractive
  # "dpkg --configure -a" repairs what an interrupted set-up left; the lock is waited for.
  quietly apt-update "the package lists could not be read; check the machine's network and /etc/apt" apt-get update -q
  quietly apt-install "packages could not be installed; install by hand and run again: $*" \
    bash -c 'dpkg --configure -a; exec apt-get -o DPkg::Lock::Timeout=300 install -y -q --no-install-recommends "$@"' \
    apt-install "$@"
  # Debian starts these as services when they are installed; the tests run their own on their own ports.
  case " $* " in *" etcd-server "*) systemctl disable --now etcd >/dev/null 2>&1 || true ;; esac
  case " $* " in *" prometheus "*) systemctl disable --now prometheus >/dev/null 2>&1 || true ;; esac
}

compile_typescript() {
  quietly typescript "TypeScript does not compile; fix the errors above" npm run --silent build:ts
  stamp typescript "$1"
}

# What keeps network and disk busy, or one CPU, goes on beside the rest: apt-get beside npm and TypeScript until there is a compiler,
# and beside the addon until there is the rest.
packages='' typescript=''
await() { [ -z "$1" ] || wait "$1" || exit 1; }
await_all() {
  if [ -n "$packages" ] && kill -0 "$packages" 2>/dev/null; then
    echo "setup: waiting for apt-get to end, so that nothing stays half installed" >&2
  fi
  wait
}
trap await_all EXIT
first=$(missing run | xargs) more=
[ "$level" = run ] || more=$(missing "$level" | xargs)
if [ -n "$first$more" ]; then
  announce "installing Debian packages: $first $more"
  if [ -n "$first" ]; then
    install_packages $first &
    packages=$!
  fi
elif command -v dpkg-query >/dev/null; then
  announce "Debian packages: all there"
else
  announce "not Debian: assuming these are installed: $({ wanted run; wanted "$level"; } | sort -u | xargs)"
fi

if node scripts/installed.mjs; then
  announce "npm packages: as package-lock.json says"
else
  announce "npm packages: installing (npm ci)"
  [ -L node_modules ] && fail "node_modules is a link to $(readlink node_modules); run npm ci there, or remove the link"
  quietly npm-ci "npm ci failed; check the network or the configured npm registry and run again" npm ci --ignore-scripts
fi

ts=$(digest src test bench examples tsconfig.json package-lock.json)
if unchanged typescript "$ts" && [ -f dist/src/main.js ]; then
  announce "TypeScript: unchanged"
else
  announce "TypeScript: compiling"
  compile_typescript "$ts" &
  typescript=$!
fi
await "$packages"
packages=''
if [ -n "$more" ]; then
  install_packages $more &
  packages=$!
fi

addon=$(digest native binding.gyp scripts/build-addon.mjs package-lock.json; node -v)
if unchanged addon "$addon" && [ -f build/Release/ripstop.node ]; then
  announce "native addon: unchanged"
else
  announce "native addon: building (a minute or two the first time)"
  quietly addon "the addon does not build; fix the errors above" node scripts/build-addon.mjs
  stamp addon "$addon"
fi

await "$packages"
packages=''
if [ "$level" = dev ]; then
  tests=$(digest native test/native binding.gyp package-lock.json CMakeLists.txt scripts/build-addon.mjs scripts/build-native.mjs)
  if unchanged native-tests "$tests" && [ -x build-tests/ripstop_tests ]; then
    announce "native tests: unchanged"
  else
    announce "native tests: building"
    quietly native-tests "the native tests do not build; fix the errors above" node scripts/build-native.mjs tests
    stamp native-tests "$tests"
  fi
fi
await "$typescript"
echo "set-up done in $((SECONDS - started)) s"
