#!/usr/bin/env bash
# Runs all benchmarks, or the ones named.
#   bench.sh [batch|decode|event-log|fences|fold|hot-store|matching|speed|...]
. "$(dirname "$0")/lib.sh"
cd "$ROOT"

# What the benchmarks of whole layers need: the optimised binary, and Kafka and S3 in a
# stack of their own, gone afterwards. Redis they start themselves.
start_stand() {
  need_packages redis-server=redis-server
  if [ -z "${CITYPULSE_BIN:-}" ]; then
    CITYPULSE_BIN=$("$ROOT/infra/build.sh" | tail -n 1)
    export CITYPULSE_BIN
  fi
  [ -z "${CITYPULSE_TEST_KAFKA:-}" ] || return 0
  STACK_DIR=$(mktemp -d "${TMPDIR:-/tmp}/citypulse-bench-stack.XXXXXX")
  read -r KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT S3_PORT < <(free_ports 4)
  export STACK_DIR KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT S3_PORT
  trap stop_stand EXIT
  "$ROOT/infra/stack.sh" install kafka minio
  "$ROOT/infra/stack.sh" start kafka minio >&2
  . "$STACK_DIR/s3-credentials"
  export CITYPULSE_TEST_KAFKA=127.0.0.1:$KAFKA_PORT
  export CITYPULSE_TEST_S3_ENDPOINT=http://127.0.0.1:$S3_PORT
  export CITYPULSE_TEST_S3_KEY=$S3_ACCESS_KEY CITYPULSE_TEST_S3_SECRET=$S3_SECRET_KEY
  export CITYPULSE_TEST_S3_BUCKET=citypulse
}

stop_stand() {
  "$ROOT/infra/stack.sh" stop
  rm -rf "$STACK_DIR"
}

find_fence_peers() {
  CITYPULSE_PEERS_PYTHON=$("$ROOT/infra/fence_peers.sh")
  export CITYPULSE_PEERS_PYTHON
}

if [ $# -eq 0 ]; then
  start_stand
  find_fence_peers
  cargo bench --workspace --bench "*"
fi
for name in "$@"; do
  case "$name" in batch | speed) start_stand ;; esac
  [ "$name" != fences ] || find_fence_peers
  # make bench-event-log is the benchmark event_log.
  cargo bench --workspace --bench "${name//-/_}"
done
