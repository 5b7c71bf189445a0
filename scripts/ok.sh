#!/usr/bin/env bash
# The one gate: format, lint, types, unused code, tests.
set -euo pipefail
source "$(dirname "$0")/setup.sh"
oxfmt --check src test scripts bench
oxlint --type-aware --deny-warnings src test scripts bench
tsc --noEmit
knip
bash scripts/test.sh
