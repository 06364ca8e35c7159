#!/usr/bin/env bash
# Runs all benchmarks, or the ones named.
#   bench.sh [decode|event-log|hot-store|matching|fold|...]
. "$(dirname "$0")/lib.sh"
cd "$ROOT"
if [ $# -eq 0 ]; then
  exec cargo bench --workspace
fi
for name in "$@"; do
  # make bench-event-log is the benchmark event_log.
  cargo bench --workspace --bench "${name//-/_}"
done
