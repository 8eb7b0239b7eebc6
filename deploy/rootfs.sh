#!/usr/bin/env bash
# Stages the whole root file system of the service's image: what deploy/Dockerfile copies onto nothing. `make image` calls it.
#
#   deploy/rootfs.sh BINARY FOLDER
#
# The C library, the C++ library and the loader are those of the machine that builds, since what was linked against a C library
# runs with it and with newer ones, not with older ones: the image asks nothing of any base, and fits its own binary. Their versions
# are printed. The image is for the architecture of the machine that builds.
set -euo pipefail
cd "$(dirname "$0")/.."

binary=$1 root=$2
say() { printf 'image: %s\n' "$*" >&2; }
die() {
	say "$*"
	exit 1
}

[ -x "$binary" ] || die "$binary is not there: make build makes it"
runtime=${NEARLINE_ONNXRUNTIME:-$(models/onnx/fetch.sh 2>/dev/null)} || die "there is no ONNX Runtime: make runtime says why"
[ -f "$runtime" ] || die "NEARLINE_ONNXRUNTIME is $runtime: want the path of libonnxruntime.so"

rm -rf "$root"
mkdir -p "$root"/{etc/nearline,etc/ssl/certs,lib,models,tmp}
install -m 0755 "$binary" "$root/nearline"
# lib/ beside the program is where it looks first.
install -m 0644 "$runtime" "$root/lib/libonnxruntime.so"

# licence copies what says under which terms a file of this machine is passed on, where its package can be asked.
licence() { # PATH...
	local package
	package=$({ dpkg-query -S "$@" 2>/dev/null || true; } | head -n 1 | cut -d: -f1)
	[ -f "/usr/share/doc/$package/copyright" ] || return 0
	install -D -m 0644 "/usr/share/doc/$package/copyright" "$root/usr/share/doc/$package/copyright"
}
for text in LICENSE ThirdPartyNotices.txt; do
	[ ! -f "$(dirname "$runtime")/$text" ] ||
		install -D -m 0644 "$(dirname "$runtime")/$text" "$root/usr/share/doc/onnxruntime/$text"
done

# ldd prints "NAME => PATH (ADDRESS)", and the loader, whose path is fixed in the binary, without a name.
libraries=$(ldd "$binary" "$runtime")
if grep 'not found' <<<"$libraries" >&2; then die "the libraries above are missing on this machine: install them"; fi
awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\// && NF == 2 && !/:$/ { print $1 }' <<<"$libraries" | sort -u |
	while read -r library; do
		# Merged /usr or not: a library lies at the path that the loader is told or searches.
		mkdir -p "$root$(dirname "$library")"
		install -m 0755 "$(readlink -f "$library")" "$root$library"
		licence "$library" "$(readlink -f "$library")"
	done
say "C library: $(ldd --version 2>&1 | head -n 1)"

cp -R models/zoo "$root/models/zoo"
install -m 0644 deploy/nearline.yaml "$root/etc/nearline/nearline.yaml"
install -m 0644 LICENSE NOTICE "$root/"
for bundle in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
	[ -f "$bundle" ] || continue
	install -m 0644 "$bundle" "$root/etc/ssl/certs/ca-certificates.crt"
	licence "$bundle" /usr/sbin/update-ca-certificates
	break
done
[ -f "$root/etc/ssl/certs/ca-certificates.crt" ] || say "no CA certificates were found: mount your own to speak TLS"

# Numbers are enough for the kernel; names are for those who look.
printf 'root:x:0:0:root:/:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/:/sbin/nologin\n' >"$root/etc/passwd"
printf 'root:x:0:\nnonroot:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"

# Nothing but the content may differ between two builds of one commit.
find "$root" -type d -exec chmod 0755 {} +
find "$root/models" -type f -exec chmod 0644 {} +
chmod 1777 "$root/tmp"
find "$root" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
say "$(du -sh --apparent-size "$root" | cut -f1) staged in $root"
