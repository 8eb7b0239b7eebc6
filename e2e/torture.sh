#!/usr/bin/env bash
# The built binary under torture, on its embedded broker, and every record counted: replicas are killed, frozen, stopped and added while
# records come; then the model is slow, fails, and crashes the process; then the output topic refuses. SECONDS and seed as
# arguments. Needs bin/nearline and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT

torture() { # ARGUMENT...
	if ! bin/nearline torture --embedded --rate 500 --json "$@" | tee "$out" | python3 -c '
import json, sys
for line in sys.stdin:
    o = json.loads(line)
    if o.get("event") == "stall":
        print("%6.1fs  stall %5s  %s" % (o["at_seconds"], "" if "in_the_stall_of" in o else "%.1fs" % o["stall_seconds"], o["text"]))
'; then
		tail -n 1 "$out" # with the first of what is wrong
		return 1
	fi
	# The program fails on its own where a count is not 0; here is that there was something to count.
	tail -n 1 "$out" | python3 -c '
import json, sys
r = json.load(sys.stdin)
print({k: r[k] for k in ("records", "faults", "deaths", "lost", "doubled", "out_of_order", "seed", "longest_stall_seconds", "aggregates", "aggregates_wrong")})
assert r["records"] > 1000 and r["faults"] > 0, "too little was tried to show anything"
assert r["results"] + r["dead_letters"] == r["records"], "not every record has one effect"
assert r["lost"] == r["doubled"] == r["out_of_order"] == r["dead_letters_without_cause"] == r["misplaced"] == r["unknown"] == 0
assert r["aggregates"] > 100 and r["aggregates_wrong"] == 0, "the features are not what the input says"
'
}

seconds=${1:-20} seed=${2:-7}
torture --for "${seconds}s" --seed "$seed"
torture --for "${seconds}s" --seed "$seed" --every 3s --faults model-crash,oom,refuse,model-fail,model-slow
torture --for 12s --seed "$seed" --faults refuse
if command -v redis-server redis-cli >/dev/null; then
	torture --for "${seconds}s" --seed "$seed" --every 2s --faults store-older=2,kill
else
	echo "NOT RUN features in a Redis that comes back from older snapshots: there is no redis-server (Debian: apt-get install redis-server)"
	if [ -n "${NEARLINE_E2E_REQUIRED:-}" ]; then exit 1; fi
fi
