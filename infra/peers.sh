#!/usr/bin/env bash
# The speed layer against Flink and Spark on the same topic, in the same run. Their
# versions are pinned in bench/peers/; they are kept under the cache.
. "$(dirname "$0")/lib.sh"
PEERS=$CACHE/peers

# install_peer NAME: a Python environment with the engine, and its Kafka connector's jars.
install_peer() {
  local name=$1 files=$ROOT/bench/peers
  if ! cmp -s "$files/$name-requirements.txt" "$PEERS/$name/requirements.txt"; then
    need_toolchain python3 "Python 3.11"
    say "installing $name"
    python3 -m venv "$PEERS/$name"
    "$PEERS/$name/bin/pip" install --quiet --disable-pip-version-check -r "$files/$name-requirements.txt" >&2
    cp "$files/$name-requirements.txt" "$PEERS/$name/requirements.txt"
  fi
  if ! cmp -s "$files/$name-pom.xml" "$PEERS/$name-jars/pom.xml"; then
    need_toolchain mvn "Maven"
    mkdir -p "$PEERS/$name-jars"
    mvn -q -B -f "$files/$name-pom.xml" dependency:copy-dependencies \
      -DincludeScope=runtime -DoutputDirectory="$PEERS/$name-jars" >&2
    cp "$files/$name-pom.xml" "$PEERS/$name-jars/pom.xml"
  fi
}

need_rust
need_toolchain java "Java 17"
mkdir -p "$PEERS"
for name in flink spark; do
  only_once "peer-$name" install_peer "$name" || say "$name could not be installed and is left out"
done
export CITYPULSE_PEERS=$PEERS
exec "$ROOT/infra/bench.sh" speed
