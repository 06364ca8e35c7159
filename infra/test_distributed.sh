#!/usr/bin/env bash
# The tests of jobs on several machines, embedded and on real Kafka, Redis and S3. Apart
# from `make test`, because they need what the everyday build leaves out.
. "$(dirname "$0")/lib.sh"
need_rust
"$ROOT/infra/stack.sh" install kafka redis minio
export CITYPULSE_TEST_REAL_SERVERS=1
"$ROOT/infra/dashboard.sh"
cd "$ROOT"
say "compiling"
cargo build --quiet --workspace --bins --features distributed
# One after the other: each of these tests is a whole platform on a few cores.
exec cargo test --quiet --workspace --features distributed --lib --test platform distributed -- --test-threads=1
