#!/usr/bin/env bash
# The built binary under torture, on its embedded broker: replicas are killed, frozen, stopped and added while records come, and
# every record is counted. SECONDS and seed as arguments. Needs bin/nearline and python3.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mktemp)
trap 'rm -f "$out"' EXIT
bin/nearline torture --embedded --for "${1:-20}s" --seed "${2:-7}" --rate 500 --json | tee "$out" | python3 -c '
import json, sys
for line in sys.stdin:
    o = json.loads(line)
    if o.get("event") == "stall":
        print("%6.1fs  %-7s stall %.1fs" % (o["at_seconds"], o["fault"], o["stall_seconds"]))
'
# The program fails on its own where a count is not 0; here is that there was something to count.
tail -n 1 "$out" | python3 -c '
import json, sys
r = json.load(sys.stdin)
print({k: r[k] for k in ("records", "faults", "lost", "doubled", "out_of_order", "seed", "longest_stall_seconds")})
assert r["records"] > 1000 and r["faults"] > 0, "too little was tried to show anything"
assert r["results"] + r["dead_letters"] == r["records"], "not every record has one effect"
assert r["lost"] == r["doubled"] == r["out_of_order"] == r["misplaced"] == r["unknown"] == 0
'
