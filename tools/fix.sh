#!/usr/bin/env bash
# Mend what can be mended safely.
set -euo pipefail
cd "$(dirname "$0")/.."
.venv/bin/ruff check --fix --quiet . || true # what is left is for `make lint` to show
.venv/bin/ruff format .
