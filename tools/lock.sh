#!/usr/bin/env bash
# Compile the pinned requirements. Arguments go to `uv pip compile`, for example --upgrade.
set -euo pipefail
cd "$(dirname "$0")/.."

compile() {
    local target=$1
    shift
    echo "requirements/$target"
    # No configuration of this machine may reach the files: neither indexes nor pip's options.
    .venv/bin/uv pip compile --quiet --no-config --universal --generate-hashes --no-header \
        --no-emit-index-url --no-emit-find-links --output-file "requirements/$target" "$@"
}

compile uv.txt requirements/uv.in "$@"
compile build.txt requirements/build.in --python-version 3.11 "$@"
compile dev.txt requirements/dev.in --python-version 3.11 "$@"
# The smaller sets take their versions from the large one.
compile demo.txt pyproject.toml --extra server --python-version 3.11 --constraints requirements/dev.txt "$@"
compile test.txt requirements/test.in --python-version 3.11 --constraints requirements/dev.txt "$@"
compile django-5.2.txt requirements/django-5.2.in --python-version 3.11 "$@"
compile django-6.0.txt requirements/django-6.0.in --python-version 3.12 "$@"
compile django-6.1.txt requirements/django-6.1.in --python-version 3.12 "$@"
