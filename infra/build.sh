#!/usr/bin/env bash
# Builds the optimised binary and prints its path as the last line.
. "$(dirname "$0")/lib.sh"
need_rust
"$ROOT/infra/dashboard.sh"
cd "$ROOT"
cargo build --release --bin citypulse
echo "$CARGO_TARGET_DIR/release/citypulse"
