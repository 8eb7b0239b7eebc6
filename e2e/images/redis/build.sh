#!/usr/bin/env bash
# A stand-in for the image redis, where no image registry is reached: Debian's redis-server and redis-cli at the official image's
# paths.
set -euo pipefail
# shellcheck source=e2e/images/debian.sh
. "$(dirname "$0")/../debian.sh"

image nearline-e2e/redis:latest "$(dirname "$0")"
unpack redis-tools libjemalloc2 liblzf1
place /usr/bin/redis-check-rdb /usr/local/bin/redis-server # one program, which goes by its name
place /usr/bin/redis-cli /usr/local/bin/redis-cli
folder /data
finish 'redis:x:999:999::/data:/sbin/nologin'
