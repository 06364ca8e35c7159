#!/usr/bin/env bash
# Builds the optimised binary and prints its path as the last line.
. "$(dirname "$0")/lib.sh"
need_toolchain cargo "Rust 1.95 (https://rustup.rs)"
need_toolchain cmake "cmake"
"$ROOT/infra/dashboard.sh"
cd "$ROOT"
cargo build --release --bin citypulse
echo "$CARGO_TARGET_DIR/release/citypulse"
