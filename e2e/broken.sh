#!/usr/bin/env bash
# Torture must find what is broken: each patch of e2e/broken breaks one rule of the cycle, in a copy of the tree under .cache. Its
# replicas are tortured by the sound binary, under the faults that the rule is there for, until records are missing or doubled; where
# some seeds find nothing, this fails. Names as arguments, default all. Needs bin/nearline, git and python3.
#
# First argument --real: on the three brokers in containers instead of the embedded one, which needs an engine and their images.
set -euo pipefail
cd "$(dirname "$0")/.."

root=$PWD real=
if [ "${1:-}" = --real ]; then
	real=yes
	shift
	# The folder that the replicas start in is another one.
	export NEARLINE_ONNXRUNTIME=${NEARLINE_ONNXRUNTIME:-$(models/onnx/fetch.sh 2>/dev/null | tail -n 1)}
fi

# A model that takes its time, so that who is killed has work in hand.
busy="--model sentiment --models $PWD/models/zoo"
# NAME: which count must not be 0, and how it is tortured.
declare -A broken=(
	[commit-before-produce]="lost $busy --faults kill --every 2s --rate 200 --for 15s"
	[promise-errors-ignored]="lost --faults refuse --every 3s --rate 300"
	[polling-ahead]="lost $busy --faults kill --every 2s --rate 200 --for 15s"
	[states-kept]="aggregates_wrong --faults freeze,leave,join,kill --every 1500ms --rate 500"
	[no-fencing]="doubled --faults freeze=1,model-slow=5 --every 800ms --rate 200"
)
seeds=(1 2 3 4 5)

for patch in e2e/broken/*.patch; do
	name=$(basename "$patch" .patch)
	[ -n "${broken[$name]:-}" ] || { echo "broken: nobody says how $patch is found" >&2; exit 1; }
done

torture() { # FOLDER-OF-THE-BUILD ARGUMENT...
	local copy=$root/$1
	shift
	if [ -n "$real" ]; then
		cd e2e || return 1
		go run ./torture --nearline "$root/bin/nearline" --folder "$copy/real" --records 0 --for 45s --disk 512 "$@" -- --program "$copy/nearline"
	else
		bin/nearline torture --embedded --for 20s --json "$@" --program "$copy/nearline"
	fi
}

find_it() { # NAME COUNT ARGUMENT...
	local name=$1 count=$2 copy=.cache/broken/$1 seed status
	shift 2
	rm -rf "$copy"
	mkdir -p "$copy"
	git ls-files -z --cached --others --exclude-standard -- '*.go' go.mod go.sum internal examples features | xargs -0 cp --parents -t "$copy"
	if ! git apply --unidiff-zero --directory="$copy" "e2e/broken/$name.patch" ||
		! (cd "$copy" && go build -trimpath -o nearline ./cmd/nearline); then
		echo "broken: $name does not build: mend e2e/broken/$name.patch" >&2
		return 1
	fi
	for seed in "${seeds[@]}"; do
		status=0
		(torture "$copy" --seed "$seed" "$@") >"$copy/out.json" 2>"$copy/err" || status=$?
		if grep '^{"records"' "$copy/out.json" | python3 -c '
import json, sys
name, count, seed, status = sys.argv[1:]
r = json.load(sys.stdin)
print("%-24s seed %s: %d of %d records %s; %d faults, exit %s" % (name, seed, r[count], r["records"], count, r["faults"], status))
sys.exit(not (r[count] > 0 and status == "1"))
' "$name" "$count" "$seed" "$status"; then
			return 0
		fi
	done
	cat "$copy/err" >&2
	return 1
}

missed=()
for name in "${@:-${!broken[@]}}"; do
	read -ra how <<<"${broken[$name]}"
	find_it "$name" "${how[@]}" || missed+=("$name")
done
if ((${#missed[@]})); then
	echo "broken: torture did not find ${missed[*]}" >&2
	exit 1
fi
