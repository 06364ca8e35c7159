#!/usr/bin/env bash
# Builds the optimised binary and prints its path as the last line.
. "$(dirname "$0")/lib.sh"
need_rust
"$ROOT/infra/dashboard.sh"
cd "$ROOT"
# As the benchmarks build it, so that they share what is compiled.
cargo build --release --workspace --bins ${FEATURES:+--features "$FEATURES"}
echo "$CARGO_TARGET_DIR/release/citypulse"
