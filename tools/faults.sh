#!/usr/bin/env bash
# Real faults of real servers under a chat and under topics, and a laptop that is closed for half a
# minute. Arguments go to pytest, and leave out the laptop.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/redis.sh
.venv/bin/python -m pytest -q tests/faults "$@"
if [ $# -eq 0 ]; then
    tools/chromium.sh
    LAPTOP_SECONDS=30 .venv/bin/python -m pytest -q tests/browser/test_demo_nothing_missed.py -k laptop
fi
