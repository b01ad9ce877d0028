#!/usr/bin/env bash
# Real faults of real servers under a chat and under topics, and a laptop that is closed for half a
# minute. Arguments go to pytest, and leave out the laptop. The servers run on the newest Python that
# `make matrix` has prepared, since handlers are begun in another way from 3.12 on.
set -euo pipefail
cd "$(dirname "$0")/.."
tools/redis.sh
python=.venv/bin/python
for each in .venvs/py3.1?-django5.2/bin/python; do
    if [ -x "$each" ]; then
        python=$each
    fi
done
"$python" -m pytest -q tests/faults "$@"
if [ $# -eq 0 ]; then
    tools/chromium.sh
    LAPTOP_SECONDS=30 .venv/bin/python -m pytest -q tests/browser/test_demo_nothing_missed.py -k laptop
fi
