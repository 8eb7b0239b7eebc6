#!/usr/bin/env bash
# The built binary against a client that none of us wrote: `nearline dev` with the built-in pipeline, and beside it a
# pipeline on another topic with other field names, by configuration alone. Needs bin/nearline, python3 and pip.
set -euo pipefail
cd "$(dirname "$0")/.."

venv=.cache/e2e/venv
if ! "$venv/bin/python" -c 'import confluent_kafka' 2>/dev/null; then
	echo "e2e: fetching the foreign client (confluent-kafka, librdkafka inside)"
	python3 -m venv "$venv"
	"$venv/bin/pip" install --quiet --disable-pip-version-check 'confluent-kafka==2.16.1'
fi

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
kafka=127.0.0.1:$(free_port)
http=127.0.0.1:$(free_port)
http2=127.0.0.1:$(free_port)
work=$(mktemp -d)
second=examples/.feedback.e2e.yaml # beside the original, since paths in it are relative to it
pids=()
stop() {
	status=$?
	for pid in "${pids[@]}"; do kill -INT "$pid" 2>/dev/null || true; done
	wait || true
	if [ "$status" -ne 0 ]; then tail -n 40 "$work"/*.log; fi
	rm -rf "$work" "$second"
	exit "$status"
}
trap stop EXIT

ready() { # URL LOG
	for _ in $(seq 300); do
		if python3 -c 'import sys, urllib.request as u; u.urlopen(sys.argv[1], timeout=1)' "$1" 2>/dev/null; then return 0; fi
		sleep 0.2
	done
	echo "e2e: $1 did not become ready" >&2
	return 1
}

bin/nearline dev --sample=false --kafka "$kafka" --http "$http" >"$work/dev.log" 2>&1 &
pids+=($!)
ready "http://$http/readyz"
"$venv/bin/python" e2e/foreign_client.py "$kafka" reviews "${1:-300}"

sed "s/127.0.0.1:8081/$http2/" examples/feedback.yaml >"$second"
NEARLINE_BROKERS=$kafka bin/nearline run --config "$second" >"$work/run.log" 2>&1 &
pids+=($!)
ready "http://$http2/readyz"
"$venv/bin/python" e2e/foreign_client.py "$kafka" feedback "${1:-300}"
