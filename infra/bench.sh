#!/usr/bin/env bash
# Runs all benchmarks, or the ones named.
#   bench.sh [batch|decode|event-log|hot-store|matching|fold|...]
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
if [ $# -eq 0 ]; then
  exec cargo bench --workspace
fi
# The batch layer's path from Kafka to S3 needs both: a stack of its own, gone afterwards.
start_stack() {
  STACK_DIR=$(mktemp -d "${TMPDIR:-/tmp}/citypulse-bench-stack.XXXXXX")
  read -r KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT S3_PORT < <(free_ports 4)
  export STACK_DIR KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT S3_PORT
  trap stop_stack EXIT
  "$ROOT/infra/stack.sh" start kafka minio >&2
  . "$STACK_DIR/s3-credentials"
  export CITYPULSE_TEST_KAFKA=127.0.0.1:$KAFKA_PORT
  export CITYPULSE_TEST_S3_ENDPOINT=http://127.0.0.1:$S3_PORT
  export CITYPULSE_TEST_S3_KEY=$S3_ACCESS_KEY CITYPULSE_TEST_S3_SECRET=$S3_SECRET_KEY
  export CITYPULSE_TEST_S3_BUCKET=citypulse
}

stop_stack() {
  "$ROOT/infra/stack.sh" stop kafka minio
  rm -rf "$STACK_DIR"
}

for name in "$@"; do
  if [ "$name" = batch ]; then start_stack; fi
  # make bench-event-log is the benchmark event_log.
  cargo bench --workspace --bench "${name//-/_}"
done
