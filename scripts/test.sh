#!/usr/bin/env bash
# Every test, on the binary that is compiled first. With arguments, which go to `bun test` (paths, -t PATTERN), those tests, on the
# sources. Ends with the line "N passed, N failed, N skipped".
set -euo pipefail
source "$(dirname "$0")/setup.sh"
need_packages crun:crun runc:runc conmon:conmon ip:iproute2 nft:nftables nsenter:util-linux /usr/lib/podman/aardvark-dns:aardvark-dns tini:tini mmdebstrap:mmdebstrap busybox:busybox-static git:git openssl:openssl tar:tar zstd:zstd xz:xz-utils bzip2:bzip2 skopeo:skopeo setfattr:attr ssh-add:openssh-client newuidmap:uidmap pasta:passt

if [ "$#" -eq 0 ]; then
  bash scripts/build.sh
  export CAIRN_TEST_BINARY="$PWD/dist/cairn"
fi

# Where TMPDIR does not say where, stores of whole commands are made in memory: else they wait for the disk most of the time. That
# needs room, of which 100 MB are used, and user attributes, which overlays of ordinary users keep (Linux 6.6).
has_memory() {
  [ "$(awk '$1 == "MemAvailable:" { print $2 }' /proc/meminfo)" -gt 3000000 ] &&
    [ "$(df --output=avail -k /dev/shm | tail -n 1)" -gt 1000000 ] &&
    setfattr -n user.cairn -v 1 "$1" 2>/dev/null
}
directory=
if [ -z "${TMPDIR:-}" ] && directory=$(mktemp -d /dev/shm/cairn-tests-XXXXXX) && ! has_memory "$directory"; then
  rmdir "$directory"
  directory=
fi
[ -n "$directory" ] || directory=$(mktemp -d -t cairn-tests-XXXXXX)
chmod 755 "$directory"
export CAIRN_TEST_DIRECTORY="$directory/benches"
mkdir "$CAIRN_TEST_DIRECTORY"
trap 'rm -rf --one-file-system "$directory"' EXIT

# Each process takes one file after another. More than four would disturb each other where tests measure time.
processes=$(nproc)
[ "$processes" -ge 2 ] || processes=2
[ "$processes" -le 4 ] || processes=4
report="$directory/report.xml"
status=0
bun test --parallel="$processes" --no-isolate --max-concurrency=4 --timeout 120000 --reporter=junit --reporter-outfile="$report" "${@:-.}" || status=$?
left=$(ls -A "$CAIRN_TEST_DIRECTORY")
if [ -n "$left" ]; then
  printf 'left behind:\n%s\n' "$left"
  status=1
fi
bun scripts/count-tests.ts "$report" "$status"
exit "$status"
