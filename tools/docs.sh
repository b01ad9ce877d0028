#!/usr/bin/env bash
# Build the documentation; a warning is an error. Then run the code in it.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/redis.sh
.venv/bin/sphinx-build -q -n -W --keep-going docs docs/_build
echo "docs: docs/_build/index.html"
.venv/bin/python -m pytest -q -p no:randomly docs tests/docs
