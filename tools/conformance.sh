#!/usr/bin/env bash
# Run the Autobahn WebSocket test suite against our server and write its results into the docs.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python tools/conformance.py "$@"
