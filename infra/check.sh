#!/usr/bin/env bash
# Everything that can be said about the code without running it. All checks run, also
# after one has failed.
# `cargo deny check advisories` is left out: it downloads a database from outside the
# package registries.
. "$(dirname "$0")/lib.sh"
CARGO_DENY_VERSION=0.20.2
failed=()

step() { # NAME COMMAND...
  local name=$1
  shift
  say "== $name"
  "$@" || failed+=("$name")
}

install_cargo_deny() {
  [ -x "$CACHE/bin/cargo-deny-$CARGO_DENY_VERSION" ] && return
  say "building cargo-deny (a few minutes, once)"
  # A target folder of its own: the project's build must not wait for this one.
  CARGO_TARGET_DIR=$CACHE/cargo-deny-target cargo install --quiet --locked \
    --version "$CARGO_DENY_VERSION" --root "$CACHE/cargo-deny" cargo-deny
  mkdir -p "$CACHE/bin"
  mv "$CACHE/cargo-deny/bin/cargo-deny" "$CACHE/bin/cargo-deny-$CARGO_DENY_VERSION"
  rm -rf "$CACHE/cargo-deny-target" "$CACHE/cargo-deny"
}

dashboard_check() { (cd "$ROOT/dashboard" && npm run --silent check); }

need_rust
cd "$ROOT"
"$ROOT/infra/dashboard.sh"
only_once cargo-deny install_cargo_deny
step "cargo fmt" cargo fmt --all --check
step "clippy" cargo clippy --quiet --workspace --all-targets -- -D warnings
# Left out by --all-targets, because it only runs when it is named.
step "clippy: platform test" cargo clippy --quiet --workspace --test platform -- -D warnings
step "dashboard: biome, tsc" dashboard_check
step "cargo deny" "$CACHE/bin/cargo-deny-$CARGO_DENY_VERSION" --log-level warn check bans licenses sources
step "cargo deny: distributed" "$CACHE/bin/cargo-deny-$CARGO_DENY_VERSION" --features distributed --log-level warn check bans licenses sources
step "shell syntax" bash -n infra/*.sh infra/servers/*.sh .ci/run

[ ${#failed[@]} -eq 0 ] || die "failed: ${failed[*]}"
say "all checks passed"
