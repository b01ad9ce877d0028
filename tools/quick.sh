#!/usr/bin/env bash
# Unit and contract tests: the memory layer, no services. Arguments go to pytest.
set -euo pipefail
cd "$(dirname "$0")/.."
exec .venv/bin/python -m pytest -n 2 tests/unit tests/contract "$@"
