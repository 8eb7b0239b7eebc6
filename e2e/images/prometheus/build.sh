#!/usr/bin/env bash
# A stand-in for the image prom/prometheus, where no image registry is reached: Debian's prometheus and promtool at the official
# image's paths.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
tag=nearline-e2e/prometheus:latest

inputs=$(cat "$here"/{build.sh,Dockerfile} | sha256sum | cut -c1-16)
if [ "$(docker image inspect --format '{{index .Config.Labels "nearline.inputs"}}' "$tag" 2>/dev/null)" = "$inputs" ]; then
	echo "$tag is built"
	exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work"/{package,root/{bin,etc/prometheus,prometheus,tmp}}
fetch() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download prometheus) >&2; }
fetch || { apt-get -qq update && fetch; } || {
	echo "build $tag: Debian's package prometheus could not be fetched" >&2
	exit 1
}
dpkg-deb -x "$work"/prometheus_*.deb "$work/package"
for program in prometheus promtool; do
	install -m 755 "$work/package/usr/bin/$program" "$work/root/bin/$program"
	{ ldd "$work/root/bin/$program" 2>/dev/null || true; } | { grep -oE '/[^ ]+' || true; } | while read -r library; do
		mkdir -p "$work/root$(dirname "$library")"
		cp -L "$library" "$work/root$library"
	done
done
echo 'nobody:x:65534:65534::/:/sbin/nologin' >"$work/root/etc/passwd"
chmod 1777 "$work"/root/{prometheus,tmp}
docker build --quiet --label "nearline.inputs=$inputs" --tag "$tag" --file "$here/Dockerfile" "$work" >"$work/log" 2>&1 || {
	cat "$work/log" >&2
	exit 1
}
echo "$tag $(docker image inspect --format '{{.Size}}' "$tag" | awk '{printf "%.0f MB", $1 / 1e6}')"
