#!/usr/bin/env bash
# Run every check, also after one has failed, and say at the end which did.
set -uo pipefail
cd "$(dirname "$0")/.."
export PATH="$PWD/.venv/bin:$PATH"
# Pyright's version is pinned with its package: no look for a newer one.
export PYRIGHT_PYTHON_IGNORE_WARNINGS=1
failed=()

check() {
    local start=$SECONDS
    echo "== $*"
    "$@" || failed+=("$*")
    echo "   $((SECONDS - start)) s"
}

# Each example is a project of its own: two of them may have modules of the same name.
mypy_examples() {
    local settings status=0
    for settings in examples/*/*/settings.py; do
        [ -f "$settings" ] || continue
        (
            cd "$(dirname "$(dirname "$settings")")" || exit 1
            DJANGO_SETTINGS_MODULE=$(basename "$(dirname "$OLDPWD/$settings")").settings MYPYPATH=. \
                python -m mypy --config-file "$OLDPWD/tools/examples.mypy.ini" .
        ) || status=1
    done
    return $status
}

check ruff format --check .
check ruff check .
check python -m mypy
check python -m mypy tools
check python -m mypy tests/typing/api.py
# Those of other frameworks run where these are installed.
check env MYPYPATH=benchmarks:tools python -m mypy benchmarks --exclude "macro/(with_|page)"
check mypy_examples
check pyright --ignoreexternal --verifytypes channels
# A package without a public name counts as 0 % complete.
if compgen -G 'src/channels_redis/[a-z]*.py' >/dev/null; then
    check pyright --ignoreexternal --verifytypes channels_redis
fi
check lint-imports --no-logo
check python tools/shape.py

if [ ${#failed[@]} -gt 0 ]; then
    printf 'failed: %s\n' "${failed[@]}" >&2
    exit 1
fi
echo "lint: all clean"
