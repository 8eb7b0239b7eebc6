#!/usr/bin/env bash
# A stand-in for the image prom/prometheus, where no image registry is reached: Debian's prometheus and promtool at the official
# image's paths.
set -euo pipefail
# shellcheck source=e2e/images/debian.sh
. "$(dirname "$0")/../debian.sh"

image nearline-e2e/prometheus:latest "$(dirname "$0")"
unpack prometheus
place /usr/bin/prometheus /bin/prometheus
place /usr/bin/promtool /bin/promtool
folder /prometheus
finish 'nobody:x:65534:65534::/:/sbin/nologin'
