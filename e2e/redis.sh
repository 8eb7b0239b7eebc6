#!/usr/bin/env bash
# The conformance suite of stores on real Redis servers: one alone, a cluster of three, and both over TLS, where credentials are replaced in use. Needs Debian's redis-server; ARGS go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v redis-server redis-cli >/dev/null; then
	echo "SKIPPED the stores of features on a real Redis: there is no redis-server (Debian: apt-get install redis-server)"
	if [ -n "${NEARLINE_E2E_REQUIRED:-}" ]; then exit 1; fi
	exit 0
fi

folder=$(mktemp -d)
servers=()
ending() {
	if [ ${#servers[@]} -gt 0 ]; then
		kill "${servers[@]}" || true
		wait "${servers[@]}" || true
	fi
	rm -rf "$folder"
}
trap ending EXIT

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start() { # ARGUMENT... leaves the port in $port
	port=$(free_port)
	mkdir "$folder/$port"
	redis-server --port "$port" --bind 127.0.0.1 --dir "$folder/$port" --save '' --appendonly no "$@" >"$folder/$port/log" 2>&1 &
	servers+=($!)
	for _ in $(seq 100); do
		if redis-cli -p "$port" ping >/dev/null 2>&1; then return; fi
		sleep 0.1
	done
	cat "$folder/$port/log" >&2
	return 1
}

suite() { # ADDRESSES
	NEARLINE_REDIS=$1 go test -count=1 -tags 'synctests redisserver' -run 'RealServer|RealCluster' "${@:2}" ./features/redis
}

printf '%s, alone: ' "$(redis-server --version | grep -o 'v=[0-9.]*')"
start
suite "127.0.0.1:$port" "$@"

nodes=()
for _ in 1 2 3; do
	start --cluster-enabled yes --cluster-config-file nodes.conf --cluster-port "$(free_port)"
	nodes+=("127.0.0.1:$port")
done
redis-cli --cluster create "${nodes[@]}" --cluster-replicas 0 --cluster-yes >"$folder/create" || {
	cat "$folder/create" >&2
	exit 1
}
for node in "${nodes[@]}"; do
	for _ in $(seq 100); do
		if redis-cli -p "${node#*:}" cluster info | grep -q 'cluster_state:ok'; then break; fi
		sleep 0.1
	done
done
printf 'a cluster of three: '
suite "$(IFS=, && echo "${nodes[*]}")" "$@"

# These start their own, with certificates of their own.
printf 'one, and a cluster, over TLS: '
go test -count=1 -tags 'synctests redisserver' -run Secured "$@" ./features/redis
