#!/usr/bin/env bash
# Builds what changed and starts the whole platform in one process.
#   run.sh [FLAGS OF citypulse up...]
. "$(dirname "$0")/lib.sh"
need_rust
"$ROOT/infra/dashboard.sh"
cd "$ROOT"
[ -d "$CARGO_TARGET_DIR/debug" ] || say "compiling (about 15 minutes the first time, seconds from then on)"
cargo build --quiet --bin citypulse
exec "$CARGO_TARGET_DIR/debug/citypulse" up "$@"
