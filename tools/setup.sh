#!/usr/bin/env bash
# Fill .venv: `setup.sh demo` with what the demo runs on, `setup.sh dev` with everything.
set -euo pipefail
cd "$(dirname "$0")/.."
what=$1
python=${PYTHON:-python3}

if [ ! -x .venv/bin/python ]; then
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
        echo "Seaway needs Python 3.11 or newer; $python is $("$python" -V 2>&1)." >&2
        echo "Name another one: make $what PYTHON=/path/to/python3.13" >&2
        exit 1
    }
    "$python" -m venv .venv || {
        echo "$python cannot make virtual environments; on Debian: apt-get install python3-venv" >&2
        exit 1
    }
fi

pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet install)
case $what in
demo)
    "${pip[@]}" --require-hashes -r requirements/demo.txt -r requirements/build.txt
    ;;
dev)
    # uv is many times faster at a set of this size, and the matrix needs it anyway.
    "${pip[@]}" --require-hashes -r requirements/uv.txt
    .venv/bin/uv pip install --no-config --quiet --python .venv/bin/python \
        --require-hashes -r requirements/dev.txt
    # What the demo runs on is among it.
    touch .venv/.demo
    ;;
*)
    echo "usage: tools/setup.sh demo|dev" >&2
    exit 2
    ;;
esac
"${pip[@]}" --no-deps --no-build-isolation --editable .
touch ".venv/.$what"
