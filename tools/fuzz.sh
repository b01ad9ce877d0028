#!/usr/bin/env bash
# Run each target in fuzz/ for as many seconds as the argument says, 60 by default.
set -euo pipefail
cd "$(dirname "$0")/.."
for target in fuzz/*.py; do
    .venv/bin/python "$target" "${1:-60}"
done
