#!/usr/bin/env bash
# Real faults of real servers under a chat and under topics. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/redis.sh
exec .venv/bin/python -m pytest -q tests/faults "$@"
