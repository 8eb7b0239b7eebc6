#!/usr/bin/env bash
# Prints the path of a Compose that runs as a program: the plugin of the machine's docker, or one that is built here, from its
# module, where there is none (two minutes, once).
set -euo pipefail
cd "$(dirname "$0")/.."

version=v2.40.3
for folder in "${DOCKER_CONFIG:-$HOME/.docker}" /usr/local/lib/docker /usr/local/libexec/docker /usr/lib/docker /usr/libexec/docker; do
	plugin=$folder/cli-plugins/docker-compose
	[ -x "$plugin" ] || continue
	echo "$plugin"
	exit
done
built=$PWD/.cache/compose/$version/docker-compose
if [ ! -x "$built" ]; then
	echo "building Compose $version: some minutes, once" >&2
	# go install refuses a module with replacements, so that of an empty module is built.
	work=$(mktemp -d)
	trap 'rm -rf "$work"' EXIT
	mkdir -p "$(dirname "$built")"
	(
		cd "$work"
		go mod init compose
		go get "github.com/docker/compose/v2/cmd@$version"
		CGO_ENABLED=0 go build -trimpath -ldflags "-s -w -X github.com/docker/compose/v2/internal.Version=$version" \
			-o "$built.part" github.com/docker/compose/v2/cmd
	) >"$work.log" 2>&1 || {
		cat "$work.log" >&2
		exit 1
	}
	mv "$built.part" "$built"
	rm -f "$work.log"
fi
echo "$built"
