#!/usr/bin/env bash
# Run each micro benchmark in benchmarks/micro. Arguments go to every one of them.
set -euo pipefail
cd "$(dirname "$0")/.."
for benchmark in benchmarks/micro/*.py; do
    echo "== $benchmark"
    .venv/bin/python "$benchmark" "$@"
done
