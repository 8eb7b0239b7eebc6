#!/usr/bin/env bash
# Fetches the foreign clients named as arguments (python, java, js) into .cache/e2e/clients, once. Each has a program here that
# speaks the contract in contract.md.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
cache=$here/../../.cache/e2e
mkdir -p "$cache/clients"
cache=$(cd "$cache" && pwd)

needs() { # CLIENT PROGRAM PACKAGE
	command -v "$2" >/dev/null || {
		echo "$2 is not installed (Debian: apt-get install $3): the $1 client cannot be fetched" >&2
		exit 3
	}
}

fetch_python() { # confluent-kafka, librdkafka inside
	local venv=$cache/venv # shared with foreign_client.sh
	if ! "$venv/bin/python" -c 'import confluent_kafka' 2>/dev/null; then
		needs Python python3 python3-venv
		python3 -m venv "$venv"
		"$venv/bin/pip" install --quiet --disable-pip-version-check 'confluent-kafka==2.16.1'
	fi
}

fetch_java() { # Apache's own kafka-clients
	needs Java mvn maven
	needs Java javac default-jdk-headless
	mvn -q -B -Dstyle.color=never -f "$here/java/pom.xml" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$out/libs"
	javac -cp "$out/libs/*" -d "$out/classes" "$here/java/Client.java"
}

fetch_js() { # kafkajs, with codecs for what it has not built in
	needs JavaScript npm 'nodejs npm'
	cp "$here/js/package.json" "$here/js/client.js" "$out"
	npm install --prefix "$out" --silent --no-package-lock --ignore-scripts --no-audit --no-fund --omit=dev
}

for client in "$@"; do
	out=$cache/clients/$client
	inputs=$(cat "$here/$client"/* "$0" | sha256sum | cut -c1-16)
	if [ "$(cat "$out/fetched" 2>/dev/null)" = "$inputs" ]; then continue; fi
	echo "e2e: fetching the $client client"
	rm -rf "$out"
	mkdir -p "$out"
	"fetch_$client"
	echo "$inputs" >"$out/fetched"
done
