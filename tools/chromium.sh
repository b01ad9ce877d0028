#!/usr/bin/env bash
# See that Debian's Chromium is there for the tests that need a browser.
# Where it cannot be had those tests say so, and in CI they fail.
set -uo pipefail
command -v chromium >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "Chromium is missing and cannot be installed by this user: as root, apt-get install chromium" >&2
    exit 0
fi
echo "Installing Debian's Chromium for the browser tests" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq >/dev/null && apt-get install -qq -y --no-install-recommends chromium >/dev/null ||
    echo "apt-get could not install Chromium" >&2
exit 0
