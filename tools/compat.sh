#!/usr/bin/env bash
# Play the differential cases against upstream, in an environment of its own, and against us.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python -m pytest tests/compat "$@"
