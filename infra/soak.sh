#!/usr/bin/env bash
# The long form of the crash tests, on the embedded back ends and on real servers:
# SOAK_SECONDS (default 600) at SOAK_RATE events/s (default 5000) with SOAK_KILLS (5).
. "$(dirname "$0")/lib.sh"
export CITYPULSE_SOAK_SECONDS=${SOAK_SECONDS:-600}
export CITYPULSE_SOAK_RATE=${SOAK_RATE:-5000}
export CITYPULSE_SOAK_KILLS=${SOAK_KILLS:-5}
export CITYPULSE_TEST_REAL_SERVERS=1
need_rust
"$ROOT/infra/stack.sh" install kafka redis minio
"$ROOT/infra/dashboard.sh"
cd "$ROOT"
cargo build --quiet --workspace --bins
exec cargo test --workspace --test platform seam -- --test-threads=1 --nocapture
