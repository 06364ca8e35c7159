#!/usr/bin/env bash
# What `make bench-fences` compares with: a Python environment with Shapely, and PostgreSQL
# with PostGIS from Debian. Prints the path of the interpreter.
. "$(dirname "$0")/lib.sh"
REQUIREMENTS=$ROOT/bench/peers/fences-requirements.txt
VENV=$CACHE/peers/fences

install_fence_peers() {
  compgen -G '/usr/share/postgresql/*/extension/postgis.control' >/dev/null ||
    install_packages postgresql postgresql-postgis || say "PostGIS could not be installed and is left out"
  cmp -s "$REQUIREMENTS" "$VENV/requirements.txt" && return
  need_toolchain python3 "Python 3.11"
  say "installing Shapely"
  mkdir -p "$CACHE/peers"
  python3 -m venv "$VENV" >/dev/null 2>&1 || { install_packages python3-venv; python3 -m venv "$VENV"; }
  "$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$REQUIREMENTS" >&2
  cp "$REQUIREMENTS" "$VENV/requirements.txt"
}

only_once peer-fences install_fence_peers
echo "$VENV/bin/python"
