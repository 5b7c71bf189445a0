#!/usr/bin/env bash
# The main job, end to end: base images, a multi-stage build of a real web service, a container in the background,
# its page, and two rebuilds. Works in /var/tmp/cairn-demo (or $CAIRN_DEMO), which may be removed afterwards; the second run finds its base
# images there.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
if [ "$(id -u)" -ne 0 ]; then
  say "The demo runs containers, which needs root: sudo npm run demo"
  exit 1
fi
need_packages crun:crun runc:runc conmon:conmon ip:iproute2 nft:nftables mmdebstrap:mmdebstrap
bash scripts/build.sh

cairn="$PWD/dist/cairn"
demo="${CAIRN_DEMO:-/var/tmp/cairn-demo}"
export CAIRN_ROOT="$demo/store"
mkdir -p "$demo"
app="$demo/guestbook"
rm -rf "$app"
cp -R examples/guestbook "$app"

container=
finish() {
  if [ -n "$container" ]; then "$cairn" rm -f "$container" >/dev/null || true; fi
}
trap finish EXIT

step() { printf '\n\033[1m== %s\033[0m\n' "$*"; }
run() {
  printf '$ %s\n' "$*"
  "$@"
}
cairn() { "$cairn" "$@"; }

step "Base images, made from Debian's signed packages"
cairn image inspect node:18-build >/dev/null 2>&1 ||
  run cairn bootstrap node:18-build --suite bookworm --slim --include nodejs,npm,ca-certificates
cairn image inspect node:18 >/dev/null 2>&1 ||
  run cairn bootstrap node:18 --suite bookworm --slim --include nodejs

# Behind a proxy with certificates of its own, npm needs them in the build too; a secret never enters a layer.
secrets=()
for file in "${NODE_EXTRA_CA_CERTS:-}" "$(npm config get cafile 2>/dev/null)"; do
  if [ ${#secrets[@]} -eq 0 ] && [ -f "$file" ]; then secrets=(--secret "id=ca,src=$file"); fi
done
build() { cairn build "${secrets[@]}" -t guestbook "$@" "$app"; }

log="$demo/build.log"
timed_build() {
  local start
  start=$(date +%s%N)
  build --progress plain >"$log" 2>&1 || { cat "$log" >&2; return 1; }
  elapsed=$((($(date +%s%N) - start) / 1000000))
}

step "Build the service from its Dockerfile (examples/guestbook)"
run build

step "Run it in the background and fetch its page"
port=$(node -e 'const s = require("net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })')
cairn rm -f guestbook-demo >/dev/null 2>&1 || true
container=guestbook-demo
run cairn run -d --name guestbook-demo -p "127.0.0.1:$port:3000" guestbook
fetch() {
  node -e '
    const [url, ...body] = process.argv.slice(1)
    const post = body.length === 0 ? {} : { method: "POST", body: new URLSearchParams({ name: body[0], text: body[1] }) }
    fetch(url, { ...post, signal: AbortSignal.timeout(2000) })
      .then(async (answer) => { if (!answer.ok) process.exit(1); process.stdout.write(await answer.text()) })
      .catch(() => process.exit(1))' "$@"
}
for _ in $(seq 100); do
  if fetch "http://127.0.0.1:$port/healthz" >/dev/null 2>&1; then break; fi
  [ "$(cairn inspect -f '{{.State.Status}}' guestbook-demo)" = running ] || { say "the container ended before it answered"; exit 1; }
  sleep 0.1
done
fetch "http://127.0.0.1:$port/" "a visitor" "hello from the demo"
run cairn ps
run cairn logs guestbook-demo
run cairn exec guestbook-demo id
run cairn stop guestbook-demo
status=$(cairn inspect -f '{{.State.ExitCode}}' guestbook-demo)
printf 'stopped, exit status %s\n' "$status"
[ "$status" -eq 0 ]
run cairn rm guestbook-demo
container=

step "Rebuild: nothing changed"
timed_build
printf '%d steps cached, %d rebuilt, in %d ms\n' "$(grep -c CACHED "$log")" "$(grep -c rebuilt: "$log" || true)" "$elapsed"

step "Change one line and rebuild: what re-runs, and why"
sed -i "s/const title = 'Guestbook'/const title = 'Guestbook of $(date +%T)'/" "$app/src/server.ts"
timed_build
grep -B1 rebuilt: "$log" | grep -v '^--'
printf 'in %d ms\n' "$elapsed"

step "What is in the store"
run cairn images
run cairn history guestbook

if mount | grep -q "$CAIRN_ROOT"; then
  say "something is still mounted below $CAIRN_ROOT"
  exit 1
fi
printf '\nDone. The store of the demo is %s.\n' "$CAIRN_ROOT"
