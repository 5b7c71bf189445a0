#!/usr/bin/env bash
# Compiles the single binary dist/cairn, with the worker that packs layers.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
mkdir -p dist
version=$(node -p 'require("./package.json").version')
commit=$(git rev-parse --short HEAD 2>/dev/null || echo unknown)
rm -rf dist/.build && mkdir dist/.build
# What lies in the directory a command is called in is input, not configuration: Bun would run the preloads of its bunfig.toml and
# take its .env as environment. Few commands run for so long that compiling their functions pays: src/main.ts.
bun build --compile --no-compile-autoload-bunfig --no-compile-autoload-dotenv --compile-jit-policy=5 \
  --splitting --minify --bytecode --format=esm \
  --define CAIRN_VERSION="\"$version\"" --define CAIRN_COMMIT="\"$commit\"" \
  --outfile dist/.build/cairn src/main.ts src/worker.ts >&2
mv -f dist/.build/cairn dist/cairn
rmdir dist/.build
