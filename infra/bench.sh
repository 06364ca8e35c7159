#!/usr/bin/env bash
# Runs all benchmarks, or the ones named.
#   bench.sh [decode|event-log|hot-store|matching|fold|speed|...]
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# What the benchmark of whole processes needs: the optimised binary, and Kafka in a stack
# of its own. Redis it starts itself.
start_stand() {
  need_packages redis-server=redis-server
  if [ -z "${CITYPULSE_BIN:-}" ]; then
    CITYPULSE_BIN=$("$ROOT/infra/build.sh" | tail -n 1)
    export CITYPULSE_BIN
  fi
  [ -z "${CITYPULSE_TEST_KAFKA:-}" ] || return 0
  STACK_DIR=$(mktemp -d "${TMPDIR:-/tmp}/citypulse-bench-stack.XXXXXX")
  read -r KAFKA_PORT KAFKA_CONTROLLER_PORT < <(free_ports 2)
  export STACK_DIR KAFKA_PORT KAFKA_CONTROLLER_PORT
  trap stop_stand EXIT
  "$ROOT/infra/stack.sh" install kafka
  "$ROOT/infra/stack.sh" start kafka >&2
  export CITYPULSE_TEST_KAFKA=127.0.0.1:$KAFKA_PORT
}

stop_stand() {
  "$ROOT/infra/stack.sh" stop
  rm -rf "$STACK_DIR"
}

if [ $# -eq 0 ]; then
  start_stand
  cargo bench --workspace
fi
for name in "$@"; do
  [ "$name" != speed ] || start_stand
  # make bench-event-log is the benchmark event_log.
  cargo bench --workspace --bench "${name//-/_}"
done
