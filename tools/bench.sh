#!/usr/bin/env bash
# Measure Seaway beside what a user would pick instead. Arguments: see benchmarks/macro/run.py.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/redis.sh
exec .venv/bin/python benchmarks/macro/run.py "$@"
