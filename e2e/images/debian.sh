# shellcheck shell=bash
# For build.sh of an image whose program is Debian's, which sources this.

# image TAG FOLDER begins one, whose build.sh and Dockerfile are in the folder; where it is there and up to date, that is all.
image() {
	tag=$1 here=$2
	inputs=$(cat "$here"/{build.sh,Dockerfile,../debian.sh} | sha256sum | cut -c1-16)
	if [ "$(docker image inspect --format '{{index .Config.Labels "nearline.inputs"}}' "$tag" 2>/dev/null)" = "$inputs" ]; then
		echo "$tag is built"
		exit
	fi
}

# unpack PACKAGE... leaves them under $work/package. What is in $work/root becomes the image.
unpack() {
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$work"/{package,root/etc}
	folder /tmp
	fetch() { (cd "$work" && apt-get -qq -o APT::Sandbox::User=root download "$@") >&2; }
	fetch "$@" || { apt-get -qq update && fetch "$@"; } || {
		echo "build $tag: Debian's packages $* could not be fetched" >&2
		exit 1
	}
	local package
	for package in "$work"/*.deb; do dpkg-deb -x "$package" "$work/package"; done
}

# place PROGRAM PATH: a program of the packages at that path of the image, and beside it the libraries that it asks for, of the packages or of this machine.
place() {
	mkdir -p "$work/root$(dirname "$2")"
	install -m 755 "$work/package$1" "$work/root$2"
	local found library
	found=$(LD_LIBRARY_PATH=$work/package/usr/lib/x86_64-linux-gnu ldd "$work/root$2" 2>/dev/null || true)
	if grep -q 'not found' <<<"$found"; then
		echo "build $tag: $1 wants libraries that are not here:" >&2
		grep 'not found' <<<"$found" >&2
		exit 1
	fi
	{ grep -oE '/[^ ]+' <<<"$found" || true; } | while read -r library; do
		mkdir -p "$work/root$(dirname "${library#"$work/package"}")"
		cp -L "$library" "$work/root${library#"$work/package"}"
	done
}

# folder PATH that whoever runs the image may write to.
folder() {
	mkdir -p "$work/root$1"
	chmod 1777 "$work/root$1"
}

# finish USER makes the image; USER is its line in /etc/passwd.
finish() {
	echo "$1" >"$work/root/etc/passwd"
	docker build --quiet --label "nearline.inputs=$inputs" --tag "$tag" --file "$here/Dockerfile" "$work" >"$work/log" 2>&1 || {
		cat "$work/log" >&2
		exit 1
	}
	echo "$tag $(docker image inspect --format '{{.Size}}' "$tag" | awk '{printf "%.0f MB", $1 / 1e6}')"
}
