#!/usr/bin/env bash
# See that nothing stays: of many connections through the ASGI application, and of joins, sends and
# leaves over Redis (for SECONDS_OVER_REDIS seconds a layer). Arguments go to the first.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/redis.sh
.venv/bin/python benchmarks/soak.py "$@"
exec .venv/bin/python benchmarks/redis_soak.py --seconds "${SECONDS_OVER_REDIS:-30}"
