#!/usr/bin/env bash
# The conformance suite of stores of features on emulators of DynamoDB, Bigtable and Firestore. Those of DynamoDB come from npm and PyPI into .cache;
# those of Bigtable and Firestore are Google's own, which come with the Google Cloud CLI only. What there is no emulator for is NOT RUN, and says so.
# ARGS go to go test.
set -euo pipefail
cd "$(dirname "$0")/.."

dynalite=4.0.0
moto=5.2.5
kept=$PWD/.cache/emulators
sdk=${CLOUDSDK_ROOT:-/usr/lib/google-cloud-sdk}
arguments=("$@")

folder=$(mktemp -d)
servers=()
ending() {
	if [ ${#servers[@]} -gt 0 ]; then
		kill "${servers[@]}" 2>/dev/null || true
		wait "${servers[@]}" 2>/dev/null || true
	fi
	rm -rf "$folder"
}
trap ending EXIT

missing=0
not_run() { # WHAT WHY
	echo "NOT RUN the store of features on $1: $2"
	missing=1
}

free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }

start() { # COMMAND... that listens to $port
	"$@" >"$folder/$port.log" 2>&1 &
	servers+=($!)
	for _ in $(seq 300); do
		if (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
		if ! kill -0 "${servers[-1]}" 2>/dev/null; then break; fi
		sleep 0.1
	done
	cat "$folder/$port.log" >&2
	return 1
}

suite() { # WHAT PACKAGE VARIABLE VALUE
	printf '%s: ' "$1"
	env "$3=$4" go test -count=1 -tags 'synctests emulators' "${arguments[@]}" "./features/$2"
}

on_dynalite() {
	local what="dynalite $dynalite" at=$kept/dynalite-$dynalite
	if ! command -v npm >/dev/null; then
		not_run "$what" "there is no npm"
	elif ! [ -e "$at/done" ] && ! { npm install --prefix "$at" --no-audit --no-fund "dynalite@$dynalite" >"$folder/npm" 2>&1 && touch "$at/done"; }; then
		not_run "$what" "npm has it not: $(tail -n 1 "$folder/npm")"
	else
		port=$(free_port)
		start node "$at/node_modules/dynalite/cli.js" --host 127.0.0.1 --port "$port" --createTableMs 0 --deleteTableMs 0
		suite "DynamoDB on $what" dynamodb NEARLINE_DYNAMODB "http://127.0.0.1:$port"
	fi
}

on_moto() {
	local what="moto $moto" at=$kept/moto-$moto
	if ! [ -e "$at/done" ] && ! { python3 -m venv "$at" && "$at/bin/pip" install -q "moto[server,dynamodb]==$moto" && touch "$at/done"; } >"$folder/pip" 2>&1; then
		not_run "$what" "pip has it not: $(tail -n 1 "$folder/pip")"
	else
		port=$(free_port)
		start "$at/bin/moto_server" -H 127.0.0.1 -p "$port"
		suite "DynamoDB on $what" dynamodb NEARLINE_DYNAMODB "http://127.0.0.1:$port"
	fi
}

on_bigtable() {
	local emulator=$sdk/platform/bigtable-emulator/cbtemulator
	if ! [ -x "$emulator" ]; then
		not_run "Google's emulator of Bigtable" "there is no $emulator (the Google Cloud CLI's component bigtable); its server in memory is what make test has"
	elif ! command -v cbt >/dev/null; then
		not_run "Google's emulator of Bigtable" "there is no cbt (the Google Cloud CLI's component cbt)"
	else
		port=$(free_port)
		start "$emulator" -host 127.0.0.1 -port "$port"
		suite "Bigtable on Google's emulator" bigtable NEARLINE_BIGTABLE "127.0.0.1:$port"
	fi
}

on_firestore() {
	local jar=$sdk/platform/cloud-firestore-emulator/cloud-firestore-emulator.jar
	if ! [ -e "$jar" ]; then
		not_run "Google's emulator of Firestore" "there is no $jar (the Google Cloud CLI's component cloud-firestore-emulator)"
	elif ! command -v java >/dev/null; then
		not_run "Google's emulator of Firestore" "there is no java"
	else
		port=$(free_port)
		start java -Duser.language=en -cp "$jar" com.google.cloud.datastore.emulator.firestore.CloudFirestore start --host=127.0.0.1 "--port=$port"
		suite "Firestore on Google's emulator" firestore NEARLINE_FIRESTORE "127.0.0.1:$port"
	fi
}

on_dynalite
on_moto
on_bigtable
on_firestore
if [ "$missing" = 1 ] && [ -n "${NEARLINE_E2E_REQUIRED:-}" ]; then exit 1; fi
