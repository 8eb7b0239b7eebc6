#!/bin/sh
# Brings SentencePiece's own normalization maps into .cache/tokenizer/charsmaps/VERSION/ of the checkout: nmt_nfkc.bin and
# three more, out of its wheel, through pip. They are data (Apache-2.0) and the same on every machine, so one wheel serves
# all; nothing of it is run. The wheel and the maps are pinned by sha256. Does nothing when the maps are there already.
#
# Prints the folder as the last line on stdout; progress goes to stderr.
set -eu

version=0.2.3
wheel=141dc0bef1e28a5cf7e41c8354ad6cc14525758278045286dcb5429b9906d39f
maps='7e46d9e08af4b6a37991b04fb8388644c1595a0abcd0f26d6a5d575e2a3663ea  nfkc.bin
d8dfef3d6db0eef0742f8b55a73aee7fce6c1e21d26a09b8d3d4b52c42a791cb  nfkc_cf.bin
1e2c7b43d3ee9755ceaa2ac335e253d8703604e0249ee1e81156c92b46423844  nmt_nfkc.bin
2c03512e62f9ed965ec90d85314211b63b5b8aa0395311ea2147eec9ff738907  nmt_nfkc_cf.bin'

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd)
folder=$root/.cache/tokenizer/charsmaps/$version

say() { printf 'charsmaps: %s\n' "$*" >&2; }

# as_pinned FOLDER says whether FOLDER has the maps with the digests above.
as_pinned() {
	[ -d "$1" ] && (cd "$1" && printf '%s\n' "$maps" | python3 -c '
import hashlib, pathlib, sys
for line in sys.stdin:
    digest, name = line.split()
    path = pathlib.Path(name)
    if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != digest:
        sys.exit(1)
')
}

if as_pinned "$folder"; then
	echo "$folder"
	exit 0
fi

mkdir -p "$(dirname "$folder")"
work=$(mktemp -d "$(dirname "$folder")/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching $version with pip (2 MB)"
printf 'sentencepiece==%s --hash=sha256:%s\n' "$version" "$wheel" >"$work/requirements.txt"
python3 -m pip download --quiet --no-deps --require-hashes --only-binary=:all: \
	--platform manylinux_2_28_x86_64 --implementation cp --python-version 3.11 --abi cp311 \
	--dest "$work" --requirement "$work/requirements.txt" >&2
mkdir "$work/maps"
python3 - "$work" <<'PYTHON'
import pathlib, sys, zipfile
work = pathlib.Path(sys.argv[1])
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    for name in archive.namelist():
        if name.startswith("sentencepiece/package_data/") and name.endswith(".bin"):
            (work / "maps" / name.rsplit("/", 1)[1]).write_bytes(archive.read(name))
PYTHON
as_pinned "$work/maps" || {
	say "the maps in the wheel are not what was expected"
	exit 1
}
rm -rf "$folder"
mv "$work/maps" "$folder" # within one folder: either all maps are there, or none
say "$version is there now"
echo "$folder"
