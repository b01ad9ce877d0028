#!/usr/bin/env bash
# Every test but the differential ones (`make compat`). Arguments replace the choice of tests.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/chromium.sh
tools/redis.sh

if [ $# -gt 0 ]; then
    exec .venv/bin/python -m pytest "$@"
fi

# These start servers and browsers of their own and have the machine to themselves.
alone=()
ignored=(--ignore=tests/compat --ignore=tests/faults)
for folder in tests/integration tests/browser tests/examples; do
    if [ -d "$folder" ]; then
        alone+=("$folder")
        ignored+=("--ignore=$folder")
    fi
done

status=0
# The blocks of a page share their names and run from top to bottom.
.venv/bin/python -m pytest -q -p no:randomly docs || status=1
rm -f .coverage .coverage.*
.venv/bin/python -m pytest -n 2 --cov --cov-report= "${ignored[@]}" || status=1
if [ ${#alone[@]} -gt 0 ]; then
    .venv/bin/python -m pytest --durations=5 --cov --cov-append --cov-report= "${alone[@]}" || status=1
fi

echo "== coverage of the pure kernel, every branch"
.venv/bin/coverage report --include='src/channels/_core/*' --fail-under=100 || status=1
echo "== coverage of the rest"
.venv/bin/coverage report --omit='src/channels/_core/*' --fail-under=95 || status=1
exit $status
