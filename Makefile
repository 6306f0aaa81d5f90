# Needs Go and GNU make; every other tool is either fetched by Go at the version pinned here or optional.

GOLANGCI_LINT_VERSION := 2.15.0
GOVULNCHECK_VERSION   := 1.9.0
BENCHSTAT_VERSION     := 0.0.0-20260908200009-22c9c6c9d4da

VERSION      ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMAGE        ?= zimage-gateway
TEST_TIMEOUT ?= 15m
FUZZTIME     ?= 30s
PKG          ?= ./...
BASE         ?= main
BENCH        ?= .
BENCHTIME    ?= 300ms
BENCH_ROUNDS ?= 6
BENCH_PKG    ?= ./internal/openai ./internal/imagegen ./internal/job ./internal/queue ./internal/httpapi

# The race detector needs cgo and a C compiler; without them the tests run all the same, just without it.
RACE = $(shell set -- $$(go env CC); [ "$$(go env CGO_ENABLED)" = 1 ] && command -v "$$1" >/dev/null 2>&1 && echo -race)

# The binary on PATH if it is the pinned version (quick), else Go builds that version (minutes, the first time).
GOLANGCI_LINT = $(shell if [ "$$(golangci-lint version --short 2>/dev/null)" = "$(GOLANGCI_LINT_VERSION)" ]; then \
	echo golangci-lint; else echo "go run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v$(GOLANGCI_LINT_VERSION)"; fi)

# Google's storage library links gRPC's whole xDS stack for a transport that is not used here: 19 MB, and some 2 MiB of
# memory in each process, for nothing. gRPC's pages of traces, which nobody serves, keep the linker from leaving out methods
# that are not called: 26 MB of the worker.
TAGS = disable_grpc_modules,grpcnotrace

GO_BUILD = CGO_ENABLED=0 go build -trimpath -tags $(TAGS) -ldflags '-X main.version=$(VERSION)'

.DEFAULT_GOAL := help

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: run
run: ## the whole product in one process: api, worker, embedded Redis (ARGS=… is passed on)
	@$(GO_BUILD) -o bin/api ./cmd/api
	@exec bin/api -standalone $(ARGS)

.PHONY: build
build: ## bin/api and bin/worker
	$(GO_BUILD) -o bin/ ./cmd/api ./cmd/worker

.PHONY: test
test: ## every test (PKG=./internal/job/ for one package)
	go test -tags $(TAGS) $(RACE) -shuffle=on -count=1 -timeout $(TEST_TIMEOUT) $(PKG)

# As build does it, so that what that has compiled is used again: with the clouds' libraries it is minutes.
.PHONY: lint
lint: export CGO_ENABLED = 0
lint: export GOFLAGS = -trimpath -tags=$(TAGS)
lint: ## go vet, golangci-lint, tidy go.mod
	go vet ./...
	$(GOLANGCI_LINT) run
	go mod tidy -diff

.PHONY: check
check: build lint test ## what CI runs

.PHONY: vuln
vuln: ## known vulnerabilities; not part of check, as it asks vuln.go.dev
	go run golang.org/x/vuln/cmd/govulncheck@v$(GOVULNCHECK_VERSION) ./...

# Compiled as build does it, for the same reason as in lint.
.PHONY: bench
bench: ## the tables of docs/performance.md, measured afresh (ARGS=-quick, ARGS=-help); Linux and redis-server
	CGO_ENABLED=0 go run -trimpath ./internal/bench $(ARGS)

.PHONY: bench-compare
bench-compare: ## the hot path's micro-benchmarks, here against those of BASE (main), in turn (BENCH=… for some)
	@BASE='$(BASE)' BENCH='$(BENCH)' BENCHTIME='$(BENCHTIME)' BENCH_ROUNDS='$(BENCH_ROUNDS)' BENCH_PKG='$(BENCH_PKG)' \
		BENCHSTAT='go run golang.org/x/perf/cmd/benchstat@v$(BENCHSTAT_VERSION)' .ci/bench-compare

.PHONY: fuzz
fuzz: ## every fuzz test, FUZZTIME (30s) each
	@list=$$(go test -list '^Fuzz' $(PKG)) || { echo "$$list"; exit 1; }; \
	echo "$$list" | awk '/^Fuzz/ { name[++n] = $$1 } /^ok/ { for (i = 1; i <= n; i++) print $$2, name[i]; n = 0 }' | \
	while read -r pkg name; do \
		echo "== $$name ($$pkg)"; \
		go test -run '^$$' -fuzz "^$$name\$$" -fuzztime $(FUZZTIME) "$$pkg" || exit 1; \
	done

.PHONY: docker
docker: ## the image zimage-gateway (IMAGE=… for another name)
	docker build --build-arg VERSION=$(VERSION) -t $(IMAGE) .

.PHONY: clean
clean: ## remove what was built or installed into the tree
	rm -rf bin internal/e2e/node/node_modules internal/bench/bullmq/node_modules
