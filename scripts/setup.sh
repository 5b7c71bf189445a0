#!/usr/bin/env bash
# Brings what Cairn's commands, tests and demo need: the npm packages of package-lock.json, and from Debian the system
# parts that Cairn detects. Does nothing where all of it is there. Sourced by the other scripts.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '%s\n' "$*" >&2; }

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
  say "Cairn's scripts need Node.js 20 or newer with npm: https://nodejs.org"
  exit 1
fi

# Not `npm ci`: it refuses a lock file without the bindings for every other platform, which not every registry has.
# This installs what the lock file says and leaves it alone.
if [ ! -x node_modules/.bin/bun ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
  say "setup: npm install"
  npm install --no-save --no-audit --no-fund --loglevel=error >&2
  touch node_modules/.package-lock.json
fi
export PATH="$PWD/node_modules/.bin:$PATH"
# Where install scripts are off, the package's own binary still works.
if ! bun --version >/dev/null 2>&1; then
  node node_modules/bun/install.js >&2
  bun --version >/dev/null
fi

# Debian packages, asked for by the command each brings: need_packages crun:crun mmdebstrap:mmdebstrap …
need_packages() {
  local missing=() pair
  for pair in "$@"; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing+=("${pair#*:}")
  done
  [ ${#missing[@]} -eq 0 ] && return 0
  if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    say "missing: ${missing[*]}. Install them with: apt-get install ${missing[*]}"
    exit 1
  fi
  say "setup: apt-get install ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null 2>&1 || {
    apt-get update -qq >&2
    apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
  }
}
