#!/usr/bin/env bash
# Serve the demo until it is interrupted. PORT chooses the port, 8000 otherwise.
set -euo pipefail
python=$(cd "$(dirname "$0")/.." && pwd)/.venv/bin/python
cd "$(dirname "$0")/../examples/demo"
exec "$python" run.py
