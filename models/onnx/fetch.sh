#!/bin/sh
# Brings ONNX Runtime's library into .cache/onnxruntime/VERSION/OS-ARCH/ of the checkout, from the PyPI wheel, through
# pip. The wheel and the library in it are pinned by sha256. Does nothing when the library is there already.
#
#   models/onnx/fetch.sh            for this machine
#   models/onnx/fetch.sh ARCH       amd64 or arm64, for an image of another architecture
#
# Prints the library's path as the last line on stdout; progress goes to stderr.
set -eu

version=1.24.1

say() { printf 'onnxruntime: %s\n' "$*" >&2; }
die() {
	say "$1"
	cat >&2 <<-HELP

	    $2

	    Or provide a library of your own, ONNX Runtime $version or later (libonnxruntime.so), in one of two ways:
	      - in the configuration, models.runtime: PATH (flag --onnxruntime PATH)
	      - in the environment, NEARLINE_ONNXRUNTIME=PATH
	HELP
	exit 1
}

arch=${1:-$(uname -m)}
case "$(uname -s)-$arch" in
Linux-x86_64 | Linux-amd64)
	arch=amd64 platform=manylinux_2_28_x86_64
	wheel=1cabe71ca14dcfbf812d312aab0a704507ac909c137ee6e89e4908755d0fc60e
	library=94ac52f650e195b784587e1cb7d25b4bf074048b50fa9a7127795b2ed34db22e
	;;
Linux-aarch64 | Linux-arm64)
	arch=arm64 platform=manylinux_2_28_aarch64
	wheel=86bc43e922b1f581b3de26a3dc402149c70e5542fceb5bec6b3a85542dbeb164
	library=31d6df98d3a2942ce10472109f988037f330dad6cb1c19e214fd2b1327315ee0
	;;
*) die "no library is pinned for $(uname -s) on $arch" "This script knows Linux on amd64 and arm64." ;;
esac

root=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
folder=$root/.cache/onnxruntime/$version/linux-$arch
target=$folder/libonnxruntime.so

digest() {
	if command -v sha256sum >/dev/null 2>&1; then
		sha256sum "$1" | cut -d' ' -f1
	else
		"$python" -c 'import hashlib, sys; print(hashlib.sha256(open(sys.argv[1], "rb").read()).hexdigest())' "$1"
	fi
}

python=
for candidate in python3 python; do
	if "$candidate" -c '' >/dev/null 2>&1; then
		python=$candidate
		break
	fi
done

if [ -f "$target" ] && [ -f "$folder/LICENSE" ] && [ "$(digest "$target")" = "$library" ]; then
	say "$version for linux-$arch is there"
	echo "$target"
	exit 0
fi

[ -n "$python" ] || die "there is no python3 to fetch it with" "Install Python 3 with pip."
"$python" -m pip --version >/dev/null 2>&1 ||
	die "$python has no pip to fetch it with" "Install pip for it (on Debian: apt-get install python3-pip)."

mkdir -p "$folder"
work=$(mktemp -d "$folder/.fetch.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' HUP INT TERM

say "fetching $version for linux-$arch with pip (17 MB)"
printf 'onnxruntime==%s --hash=sha256:%s\n' "$version" "$wheel" >"$work/requirements.txt"
# The wheel of one Python version is named, whichever runs pip: the library inside does not depend on it.
"$python" -m pip download --quiet --no-deps --require-hashes --only-binary=:all: \
	--platform "$platform" --implementation cp --python-version 3.11 --abi cp311 \
	--dest "$work" --requirement "$work/requirements.txt" >&2 ||
	die "pip could not fetch it (see above)" "Check that pip reaches a package index that has onnxruntime $version."

say "unpacking"
"$python" - "$work" "$version" <<'PYTHON' || die "the wheel is not what was expected" "Delete $folder and run this again."
import pathlib, shutil, sys, zipfile
work, version = pathlib.Path(sys.argv[1]), sys.argv[2]
(wheel,) = work.glob("*.whl")
with zipfile.ZipFile(wheel) as archive:
    # Whoever passes the library on, as in an image, passes its licences on.
    for name, to in (f"capi/libonnxruntime.so.{version}", "library"), ("LICENSE", "LICENSE"), ("ThirdPartyNotices.txt", "ThirdPartyNotices.txt"):
        with archive.open(f"onnxruntime/{name}") as source, open(work / to, "wb") as target:
            shutil.copyfileobj(source, target)
PYTHON

got=$(digest "$work/library")
[ "$got" = "$library" ] ||
	die "the unpacked library has sha256 $got, want $library" "Delete $folder and run this again."
chmod 644 "$work/library" "$work/LICENSE" "$work/ThirdPartyNotices.txt"
mv "$work/LICENSE" "$work/ThirdPartyNotices.txt" "$folder"
mv "$work/library" "$target" # within one folder: either the whole library is there, or none
say "$version for linux-$arch is there now"
echo "$target"
