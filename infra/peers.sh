#!/usr/bin/env bash
# The speed layer against Flink and Spark, the batch layer against Spark and DuckDB: on the
# same topics and files, in the same run. Their versions are pinned in bench/peers/; they
# are kept under the cache. What cannot be had here is named in the results as not run.
#   peers.sh [speed|batch...]
. "$(dirname "$0")/lib.sh"
PEERS=$CACHE/peers
FILES=$ROOT/bench/peers

# install_python NAME: a Python environment with the engine. The list of what is in it is
# copied last: without it, it is made anew.
install_python() {
  local pins=$FILES/$1-requirements.txt venv=$PEERS/$1
  cmp -s "$pins" "$venv/requirements.txt" && return
  say "installing $1"
  rm -rf "$venv"
  # Debian keeps the module venv in a package of its own.
  python3 -m venv "$venv" >/dev/null 2>&1 || { install_packages python3-venv && python3 -m venv "$venv"; } &&
    "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$pins" >&2 &&
    cp "$pins" "$venv/requirements.txt"
}

# install_jars NAME: what the engine reads Kafka and writes to S3 with, from Maven Central.
install_jars() {
  local pins=$FILES/$1-pom.xml jars=$PEERS/$1-jars
  cmp -s "$pins" "$jars/pom.xml" && return
  rm -rf "$jars"
  mvn -q -B -f "$pins" dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$jars" >&2 &&
    cp "$pins" "$jars/pom.xml"
}

# Called where a failure is dealt with, so each step says itself that the next one needs it.
install_peer() {
  install_python "$1" && { [ ! -f "$FILES/$1-pom.xml" ] || install_jars "$1"; }
}

need_rust
need_toolchain python3 "Python 3.11"
need_toolchain java "Java 17"
need_toolchain mvn "Maven"
mkdir -p "$PEERS"
for name in flink spark duckdb; do
  if ! only_once "peer-$name" install_peer "$name"; then
    say "$name could not be installed: the results will say that it did not run"
    # Nothing half-made is measured.
    rm -rf "${PEERS:?}/$name"
  fi
done
export CITYPULSE_PEERS=$PEERS
[ $# -gt 0 ] || set -- speed batch
exec "$ROOT/infra/bench.sh" "$@"
