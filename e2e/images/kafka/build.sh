#!/usr/bin/env bash
# Stand-ins for the images apache/kafka:VERSION, where no image registry is reached: the same broker, its jars by Maven, on a
# Java of this machine cut down by jlink. VERSIONs as arguments; without any, those that the tests run. Needs docker, mvn, a
# JDK of 17 or later, and a static busybox, which it takes from Debian's package where the machine has none.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../../../.cache/e2e/images

if [ $# -ne 1 ]; then
	[ $# -gt 0 ] || mapfile -t versions < <(sed -nE 's/^\t(Newest|Oldest) += "([0-9.]+)".*/\2/p' "$here/../../cluster/cluster.go")
	for version in "${@:-${versions[@]}}"; do "$0" "$version"; done
	exit
fi
version=$1
tag=nearline-e2e/kafka:$version

inputs=$(cat "$here"/{build.sh,entry.sh,pom.xml,Dockerfile} | sha256sum | cut -c1-16)
if [ "$(docker image inspect --format '{{index .Config.Labels "nearline.inputs"}}' "$tag" 2>/dev/null)" = "$inputs" ]; then
	echo "$tag is built"
	exit
fi
for program in mvn jlink java docker; do
	command -v $program >/dev/null || {
		echo "build $tag: $program is not installed (Debian: apt-get install maven openjdk-17-jdk-headless docker.io)" >&2
		exit 1
	}
done
mkdir -p "$cache"

static_busybox() { # prints the path of a static one
	local path
	path=$(type -P busybox || true)
	if [ -n "$path" ] && ! ldd "$path" >/dev/null 2>&1; then
		echo "$path"
		return
	fi
	if [ ! -x "$cache/busybox/bin/busybox" ]; then
		local debs
		debs=$(mktemp -d)
		(cd "$debs" && apt-get -qq -o APT::Sandbox::User=root download busybox-static) >&2 || {
			echo "build $tag: install a static busybox (Debian: apt-get install busybox-static)" >&2
			return 1
		}
		dpkg-deb -x "$debs"/busybox-static_*.deb "$cache/busybox"
		rm -rf "$debs"
	fi
	echo "$cache/busybox/bin/busybox"
}

runtime() { # a Java that runs brokers, into .cache
	[ ! -x "$cache/java/bin/java" ] || return 0
	rm -rf "$cache/java"
	# java.desktop for java.beans alone: what draws in it goes.
	jlink --output "$cache/java" --strip-debug --no-header-files --no-man-pages --compress=0 --add-modules \
		java.base,java.desktop,java.logging,java.management,java.naming,java.rmi,java.security.jgss,java.security.sasl,java.sql,java.xml,jdk.crypto.ec,jdk.management,jdk.naming.dns,jdk.security.auth,jdk.unsupported
	rm -f "$cache"/java/lib/lib{awt*,font*,freetype,harfbuzz,javajpeg,jawt,jsound,lcms,mlib_image,splashscreen}.so
	"$cache/java/bin/java" -Xshare:dump -XX:+UseSerialGC >/dev/null # classes of the JDK, ready to be mapped: a faster start
}

libraries() { # the shared libraries that ROOT's programs ask for, into ROOT at the paths at which they were found
	local root=$1 jar
	# Those of compression are in jars, which unpack them when the first batch of a kind comes.
	mkdir -p "$work/native"
	for jar in "$root"/opt/kafka/libs/{zstd-jni,snappy-java,lz4-java,at.yawk.lz4}*.jar; do
		[ ! -f "$jar" ] || (cd "$work/native" && jar xf "$jar")
	done
	# shellcheck disable=SC2016 # the inner shell expands it
	find "$root/opt/java" "$work/native" \( -name '*.so' -o -path '*/bin/java' \) -print0 |
		while read -r -d '' file; do ldd "$file" 2>/dev/null || true; done | # which fails for what is static
		grep -oE '/[^ ]+' | sort -u | { grep -v "^$(realpath "$cache")" || true; } |
		while read -r library; do
			mkdir -p "$root$(dirname "$library")"
			cp -L "$library" "$root$library"
		done
}

quietly() { # says something only where the command fails
	"$@" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
box=$(static_busybox)
runtime
quietly mvn -q -B -f "$here/pom.xml" -Dkafka.version="$version" dependency:copy-dependencies -DincludeScope=runtime \
	-DoutputDirectory="$work/root/opt/kafka/libs"
mkdir -p "$work"/root/{bin,etc,tmp,var/lib/kafka/data}
chmod 1777 "$work"/root/{tmp,var/lib/kafka/data}
cp -r "$cache/java" "$work/root/opt/java"
libraries "$work/root"
cp "$box" "$work/root/bin/busybox"
for applet in sh env awk mkdir rm dd df ls cat kill sleep; do ln -s busybox "$work/root/bin/$applet"; done
echo 'kafka:x:1000:1000::/tmp:/bin/sh' >"$work/root/etc/passwd"
install -m 755 "$here/entry.sh" "$work/root/bin/entry.sh"
quietly docker build --quiet --label "nearline.inputs=$inputs" --tag "$tag" --file "$here/Dockerfile" "$work"
echo "$tag $(docker image inspect --format '{{.Size}}' "$tag" | awk '{printf "%.0f MB", $1 / 1e6}')"
