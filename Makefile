# Each target hands over to one script in infra/. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help run test test-distributed build check stack stack-stop stack-status bench bench-peers soak fuzz clean

# Outside the checkout, so that a clone stays small and clones share one build.
CACHE := $(if $(CITYPULSE_CACHE),$(CITYPULSE_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/citypulse)
export CARGO_TARGET_DIR ?= $(CACHE)/target

help: ## this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## a living city: builds everything, starts it, prints the dashboard's address (ARGS="--port 9000")
	@infra/run.sh $(ARGS)

test: ## every test, on real Kafka, Redis and S3 as well, which it installs and starts itself
	@infra/test.sh

test-distributed: ## the tests of jobs on several machines, with the feature that make test leaves out
	@infra/test_distributed.sh

build: ## the optimised binary; its path is the last line (FEATURES=distributed for jobs on several machines)
	@infra/build.sh

check: ## formatting, lints, types, licences; no tests
	@infra/check.sh

stack: ## starts Kafka, Redis and MinIO on loopback (KAFKA_PORT, REDIS_PORT, S3_PORT, STACK_DIR)
	@infra/stack.sh start

stack-stop: ## ends what make stack started
	@infra/stack.sh stop

stack-status: ## what runs, and where
	@infra/stack.sh status

bench: ## every benchmark; make bench-decode runs one (batch, decode, event-log, fences, fold, hot-store, matching, speed)
	@infra/bench.sh

bench-%:
	@infra/bench.sh $*

bench-peers: ## bench-speed and bench-batch with Flink, Spark and DuckDB beside them (downloads them, about 1.2 GB)
	@infra/peers.sh

soak: ## the crash tests at length: batch layer ten minutes, speed layer half an hour at 20,000 events/s
	@infra/soak.sh

fuzz: ## the decoder under a coverage-guided fuzzer (FUZZ_SECONDS=60)
	@infra/fuzz.sh

clean: ## removes what was built (keeps downloaded tools; rm -r ~/.cache/citypulse removes those too)
	rm -rf dashboard/dist dashboard/node_modules
	cargo clean
