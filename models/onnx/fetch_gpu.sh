#!/bin/sh
# Brings ONNX Runtime's libraries for NVIDIA GPUs into .cache/onnxruntime-gpu/ of the checkout, from the PyPI wheel, through
# pip: Linux on amd64, built for CUDA 13. The wheel is pinned by sha256. Does nothing when they are there already.
#
# CUDA's own libraries are not in it: see docs/models.md. Prints the folder as the last line on stdout.
set -eu

version=1.31.1
wheel=05d548956197b9d01f59b625de740e0d6be3593f874e241a12dc0362650ecdf7
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=$root/.cache/onnxruntime-gpu/$version

say() { printf 'onnxruntime-gpu: %s\n' "$*" >&2; }

if [ -f "$folder/libonnxruntime_providers_cuda.so" ]; then
	say "$version is there"
	echo "$folder"
	exit 0
fi
case "$(uname -s)-$(uname -m)" in
Linux-x86_64) ;;
*)
	say "no library is pinned for $(uname -s) on $(uname -m): name one of your own by NEARLINE_ONNXRUNTIME=FOLDER"
	exit 1
	;;
esac

mkdir -p "$root/.cache/onnxruntime-gpu"
work=$(mktemp -d "$root/.cache/onnxruntime-gpu/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching $version with pip (256 MB)"
printf 'onnxruntime-gpu==%s --hash=sha256:%s\n' "$version" "$wheel" >"$work/requirements.txt"
python3 -m pip download --quiet --no-deps --require-hashes --only-binary=:all: \
	--platform manylinux_2_28_x86_64 --implementation cp --python-version 3.12 --abi cp312 \
	--dest "$work" --requirement "$work/requirements.txt" >&2

say "unpacking"
python3 - "$work" "$version" <<'PYTHON'
import pathlib, shutil, sys, zipfile
work, version = pathlib.Path(sys.argv[1]), sys.argv[2]
(wheel,) = work.glob("*.whl")
(work / "lib").mkdir()
with zipfile.ZipFile(wheel) as archive:
    for name, target in (
        (f"libonnxruntime.so.{version}", "libonnxruntime.so"),
        ("libonnxruntime_providers_shared.so", "libonnxruntime_providers_shared.so"),
        ("libonnxruntime_providers_cuda.so", "libonnxruntime_providers_cuda.so"),
    ):
        with archive.open(f"onnxruntime/capi/{name}") as source, open(work / "lib" / target, "wb") as file:
            shutil.copyfileobj(source, file)
PYTHON
chmod 755 "$work/lib"
rm -rf "$folder"
mv "$work/lib" "$folder" # within one folder: either all of it is there, or none
say "$version is there now"
echo "$folder"
