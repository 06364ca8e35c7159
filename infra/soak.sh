#!/usr/bin/env bash
# The long form of the crash tests, on the embedded back ends and on real servers.
# Of the batch layer: SOAK_SECONDS (default 600) at SOAK_RATE events/s (5000) with
# SOAK_KILLS (20). Of the speed layer: CRASH_SECONDS (1800) at CRASH_RATE events/s (20000)
# with CRASH_KILLS (20), and a Redis that stands still for CRASH_PAUSE_SECONDS (60).
#   soak.sh [TEST...]     e.g. exactness::real_servers; without, all of them
. "$(dirname "$0")/lib.sh"
export CITYPULSE_SOAK_SECONDS=${SOAK_SECONDS:-600}
export CITYPULSE_SOAK_RATE=${SOAK_RATE:-5000}
export CITYPULSE_SOAK_KILLS=${SOAK_KILLS:-20}
export CITYPULSE_CRASH_SECONDS=${CRASH_SECONDS:-1800}
export CITYPULSE_CRASH_RATE=${CRASH_RATE:-20000}
export CITYPULSE_CRASH_KILLS=${CRASH_KILLS:-20}
export CITYPULSE_CRASH_PAUSE_SECONDS=${CRASH_PAUSE_SECONDS:-60}
export CITYPULSE_TEST_REAL_SERVERS=1
[ $# -gt 0 ] || set -- seam exactness exactly_once pressure
need_rust
"$ROOT/infra/stack.sh" install kafka redis minio
CITYPULSE_TEST_PYTHON=$("$ROOT/infra/python.sh")
export CITYPULSE_TEST_PYTHON
"$ROOT/infra/dashboard.sh"
cd "$ROOT"
cargo build --quiet --workspace --bins
exec cargo test --workspace --test platform -- --test-threads=1 --nocapture "$@"
