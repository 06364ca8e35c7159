#!/usr/bin/env bash
# Every test: dashboard, crates, and the whole platform embedded and on real Kafka,
# Redis and S3. The last lines are the test runners' own and a sum over them.
. "$(dirname "$0")/lib.sh"
# Of this run alone: another one may be under way in another clone.
LOG=$(mktemp "$CACHE/test-log.XXXXXX")
CITYPULSE_TEST_SKIPPED=$(mktemp "$CACHE/test-skipped.XXXXXX")
export CITYPULSE_TEST_SKIPPED
failed=()

# step NAME COMMAND...: the next steps run even when this one failed, so that one run
# shows all that is broken.
step() {
  local name=$1 start=$SECONDS
  shift
  say "== $name"
  if ! "$@" 2>&1 | tee -a "$LOG"; then
    failed+=("$name")
  fi
  say "== $name: $((SECONDS - start)) s"
}

set_up_tools() {
  need_rust
  need_packages chromium=chromium
  "$ROOT/infra/stack.sh" install kafka redis minio versitygw
  CITYPULSE_TEST_PYTHON=$("$ROOT/infra/python.sh")
  export CITYPULSE_TEST_PYTHON
  # The end-to-end tests may start servers of their own, also several after another.
  export CITYPULSE_TEST_REAL_SERVERS=1
}

# A stack of its own beside whatever else runs on this machine, gone afterwards.
start_stack() {
  STACK_DIR=$(mktemp -d "${TMPDIR:-/tmp}/citypulse-test-stack.XXXXXX")
  read -r KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT S3_PORT < <(free_ports 4)
  export STACK_DIR KAFKA_PORT KAFKA_CONTROLLER_PORT REDIS_PORT S3_PORT
  trap stop_stack EXIT
  "$ROOT/infra/stack.sh" start >&2
  . "$STACK_DIR/s3-credentials"
  export CITYPULSE_TEST_KAFKA=127.0.0.1:$KAFKA_PORT
  export CITYPULSE_TEST_REDIS=redis://127.0.0.1:$REDIS_PORT
  export CITYPULSE_TEST_S3_ENDPOINT=http://127.0.0.1:$S3_PORT
  export CITYPULSE_TEST_S3_KEY=$S3_ACCESS_KEY
  export CITYPULSE_TEST_S3_SECRET=$S3_SECRET_KEY
  export CITYPULSE_TEST_S3_BUCKET=citypulse
  start_other_s3
}

# S3 servers for the lake's contract alone: one of other make, and one with a certificate
# of an authority of its own.
start_other_s3() {
  local name
  for name in OTHER TLS; do
    local folder=${name}_STACK_DIR port=${name}_S3_PORT
    declare -g "$folder=$(mktemp -d "${TMPDIR:-/tmp}/citypulse-test-stack.XXXXXX")" "$port=$(free_ports 1)"
    other_stack "$name" start >&2
    . "${!folder}/s3-credentials"
    export "CITYPULSE_TEST_${name}_S3_KEY=$S3_ACCESS_KEY" "CITYPULSE_TEST_${name}_S3_SECRET=$S3_SECRET_KEY"
    export "CITYPULSE_TEST_${name}_S3_BUCKET=citypulse"
  done
  export CITYPULSE_TEST_OTHER_S3_ENDPOINT=http://127.0.0.1:$OTHER_S3_PORT
  export CITYPULSE_TEST_TLS_S3_ENDPOINT=https://127.0.0.1:$TLS_S3_PORT
  export CITYPULSE_TEST_TLS_S3_CA=$TLS_STACK_DIR/s3-ca.crt
}

# other_stack OTHER|TLS VERB
other_stack() {
  case $1 in
    OTHER) STACK_S3=versitygw STACK_DIR=$OTHER_STACK_DIR S3_PORT=$OTHER_S3_PORT "$ROOT/infra/stack.sh" "$2" versitygw ;;
    TLS) S3_TLS=1 STACK_DIR=$TLS_STACK_DIR S3_PORT=$TLS_S3_PORT "$ROOT/infra/stack.sh" "$2" minio ;;
  esac
}

stop_stack() {
  "$ROOT/infra/stack.sh" stop
  rm -rf "$STACK_DIR"
  local name folder
  for name in OTHER TLS; do
    folder=${name}_STACK_DIR
    [ -n "${!folder:-}" ] || continue
    other_stack "$name" stop
    rm -rf "${!folder}"
  done
}

dashboard_tests() { cd "$ROOT/dashboard" && NO_COLOR=1 npm test --silent; }

# One after the other: each of these tests is a whole platform on a few cores.
end_to_end_tests() {
  cargo test --workspace --test platform --no-fail-fast -- --test-threads=1
}

# The crates' own tests. The whole workspace, so that every dependency is compiled
# with one set of features; the platform test only runs when it is named.
crate_tests() {
  cargo test --workspace --no-fail-fast
}

sum_up() {
  say ""
  grep -E '^(test result:|test .* FAILED$| +Tests +|failures:)' "$LOG" || true
  if [ -s "$CITYPULSE_TEST_SKIPPED" ]; then
    sort -u "$CITYPULSE_TEST_SKIPPED" | sed 's/^/skipped: /'
  fi
  awk '/^test result:/ { for (i = 1; i < NF; i++) { if ($(i+1) ~ /^passed/) p += $i; if ($(i+1) ~ /^failed/) f += $i } }
    END { printf "Rust tests: %d passed; %d failed\n", p, f }' "$LOG"
}

set_up_tools
"$ROOT/infra/dashboard.sh"
step "dashboard tests" dashboard_tests
cd "$ROOT"
cargo build --quiet --workspace --all-targets
start_stack
step "crates" crate_tests
step "end to end" end_to_end_tests
sum_up
if [ ${#failed[@]} -gt 0 ]; then
  echo "FAILED: ${failed[*]} (whole output: $LOG)"
  exit 1
fi
rm -f "$LOG" "$CITYPULSE_TEST_SKIPPED"
echo "all tests passed in $((SECONDS / 60)) min $((SECONDS % 60)) s"
