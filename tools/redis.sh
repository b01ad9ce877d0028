#!/usr/bin/env bash
# See that a Redis server is there for the tests that need one: Debian's, which alone speaks TLS.
# Where it cannot be had the tests take the wheel's or say so, and in CI they fail.
set -uo pipefail
command -v redis-server >/dev/null && exit 0
if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
    echo "redis-server is missing and cannot be installed by this user: as root, apt-get install redis-server" >&2
    exit 0
fi
echo "Installing Debian's Redis for the tests" >&2
export DEBIAN_FRONTEND=noninteractive
# The tests start servers of their own; Debian's must not start one as a service.
export RUNLEVEL=1
apt-get update -qq >/dev/null && apt-get install -qq -y --no-install-recommends redis-server >/dev/null ||
    echo "apt-get could not install redis-server" >&2
exit 0
