#!/usr/bin/env bash
# Fuzzes the decoder with libFuzzer's coverage on the stable toolchain.
#   FUZZ_SECONDS=60 fuzz.sh [TARGET]     (the seeds are the property test's; corpus and
#                                         findings stay in fuzz/)
# With a nightly toolchain and cargo-fuzz, `cargo fuzz run decode` does the same with
# the address sanitizer.
. "$(dirname "$0")/lib.sh"
TARGET=${1:-decode}
need_rust
need_packages c++=build-essential
cd "$ROOT/fuzz"
mkdir -p "corpus/$TARGET" "artifacts/$TARGET"
# One byte chooses the stream, as in events/tests/decoder_entry.
grep -o '{"id":.*}' "$ROOT/events/tests/decoder.rs" | awk -v folder="corpus/$TARGET" \
  '{ for (stream = 0; stream < 7; stream++) printf "%c%s", stream + 48, $0 > folder "/seed-" NR "-" stream }'
# What cargo-fuzz passes, without the sanitizer, which only nightly has.
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=1"
HOST=$(rustc -vV | sed -n 's/^host: //p')
# Named, so that build scripts and macros are built without instrumentation.
CARGO_TARGET_DIR=$CACHE/fuzz-target cargo build --release --target "$HOST" --bin "$TARGET"
exec "$CACHE/fuzz-target/$HOST/release/$TARGET" "corpus/$TARGET" -artifact_prefix="artifacts/$TARGET/" \
  -max_total_time="${FUZZ_SECONDS:-60}" -max_len=2000 -print_final_stats=1
