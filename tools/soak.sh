#!/usr/bin/env bash
# Open and close many connections through the ASGI application and see that nothing stays.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python benchmarks/soak.py "$@"
