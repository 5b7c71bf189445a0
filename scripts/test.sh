#!/usr/bin/env bash
# Every test, on the sources and on the compiled binary. Ends with the line "N passed, N failed, N skipped".
# Arguments go to `bun test` (paths, -t PATTERN).
set -euo pipefail
source "$(dirname "$0")/setup.sh"
need_packages crun:crun runc:runc conmon:conmon ip:iproute2 nft:nftables nsenter:util-linux /usr/lib/podman/aardvark-dns:aardvark-dns tini:tini mmdebstrap:mmdebstrap busybox:busybox-static git:git openssl:openssl tar:tar zstd:zstd xz:xz-utils bzip2:bzip2 skopeo:skopeo setfattr:attr ssh-add:openssh-client newuidmap:uidmap pasta:passt

[ "$#" -gt 0 ] || bash scripts/build.sh
report=$(mktemp)
trap 'rm -f "$report"' EXIT
status=0
bun test --timeout 120000 --reporter=junit --reporter-outfile="$report" "${@:-.}" || status=$?
bun scripts/count-tests.ts "$report"
exit "$status"
