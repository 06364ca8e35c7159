#!/usr/bin/env bash
# A Python environment with the independent readers of the lake (DuckDB with its delta
# extension, PyArrow, Polars, deltalake). Prints the path of its interpreter.
. "$(dirname "$0")/lib.sh"
REQUIREMENTS=$ROOT/tests/readers/requirements.txt
VENV=$CACHE/venv

install_readers() {
  cmp -s "$REQUIREMENTS" "$VENV/requirements.txt" && return
  need_toolchain python3 "Python 3.11"
  say "installing the Python readers"
  if ! python3 -m venv "$VENV" >/dev/null 2>&1; then
    # Debian keeps the module in a package of its own.
    install_packages python3-venv
    python3 -m venv "$VENV"
  fi
  "$VENV/bin/pip" install --quiet --disable-pip-version-check -r "$REQUIREMENTS" >&2
  cp "$REQUIREMENTS" "$VENV/requirements.txt"
}

only_once venv install_readers
echo "$VENV/bin/python"
