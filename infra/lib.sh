# Shared by the scripts of this folder: where things are kept, how to speak, how to fail.
# Sourced, never run.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
CACHE=${CITYPULSE_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/citypulse}
# Outside the checkout: a clone stays small and several clones share one build.
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$CACHE/target}
mkdir -p "$CACHE"

say() { printf '%s\n' "$*" >&2; }
die() { say "error: $*"; exit 1; }

# need_toolchain COMMAND NAME: a toolchain that we do not install ourselves.
need_toolchain() {
  command -v "$1" >/dev/null || die "$1 is missing: install $2 and try again"
}

# What compiling the workspace takes: Rust, and for librdkafka a C compiler and OpenSSL.
need_rust() {
  need_toolchain cargo "Rust 1.95 (https://rustup.rs)"
  need_packages cc=build-essential cmake=cmake pkg-config=pkg-config
  pkg-config --exists openssl zlib || install_packages libssl-dev zlib1g-dev
}

# need_packages COMMAND=PACKAGE...: Debian packages whose command is missing are installed.
need_packages() {
  local pair missing=()
  for pair in "$@"; do
    command -v "${pair%%=*}" >/dev/null || missing+=("${pair#*=}")
  done
  if [ ${#missing[@]} -gt 0 ]; then
    install_packages "${missing[@]}"
  fi
}

install_packages() {
  local as_root=()
  command -v apt-get >/dev/null || die "please install: $*"
  if [ "$(id -u)" -ne 0 ]; then
    sudo -n true 2>/dev/null || die "some packages are missing; run: sudo apt-get update && sudo apt-get install -y $*"
    as_root=(sudo)
  fi
  say "installing $*"
  forbid_service_start "${as_root[@]}"
  local result=0
  { "${as_root[@]}" apt-get update -qq &&
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@"; } \
    >"$CACHE/apt.log" 2>&1 || result=$?
  allow_service_start "${as_root[@]}"
  [ "$result" -eq 0 ] || { tail -n 20 "$CACHE/apt.log" >&2; die "apt-get could not install $* (log: $CACHE/apt.log)"; }
}

# Debian starts a service as soon as it is installed, on the default port that the
# stack wants. policy-rc.d is Debian's own switch against that; ours is taken away again.
POLICY=/usr/sbin/policy-rc.d
forbid_service_start() {
  if [ ! -e "$POLICY" ]; then
    printf '#!/bin/sh\n# citypulse: while it installs packages\nexit 101\n' | "$@" tee "$POLICY" >/dev/null
    "$@" chmod +x "$POLICY"
  fi
}
allow_service_start() {
  if grep -qs '^# citypulse' "$POLICY"; then "$@" rm -f "$POLICY"; fi
}

# only_once NAME COMMAND...: two scripts that install the same thing take turns.
# The lock is not handed on to what the command starts.
only_once() {
  local name=$1
  shift
  mkdir -p "$CACHE/locks"
  (
    flock 9
    "$@" 9>&-
  ) 9>"$CACHE/locks/$name"
}

port_is_taken() { (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; }

# free_ports N: N ports that nothing listens on, held together so that they differ.
free_ports() {
  python3 - "$1" <<'PYTHON'
import socket, sys
held = [socket.create_server(("127.0.0.1", 0)) for _ in range(int(sys.argv[1]))]
print(*(s.getsockname()[1] for s in held))
PYTHON
}

# wait_until SECONDS WHAT COMMAND...: true as soon as COMMAND is.
wait_until() {
  local limit=$1 what=$2
  shift 2
  local deadline=$((SECONDS + limit))
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || { say "error: $what did not happen within $limit s"; return 1; }
    sleep 0.1
  done
}
