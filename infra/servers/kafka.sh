# Apache Kafka 4.1, one node, KRaft (no ZooKeeper). Sourced by stack.sh.

KAFKA_PORT=${KAFKA_PORT:-9092}
KAFKA_CONTROLLER_PORT=${KAFKA_CONTROLLER_PORT:-$((KAFKA_PORT + 1))}
KAFKA_LIB=$CACHE/kafka/lib
KAFKA_FILES=$ROOT/infra/servers

kafka_ports() { echo "KAFKA_PORT=$KAFKA_PORT KAFKA_CONTROLLER_PORT=$KAFKA_CONTROLLER_PORT"; }

kafka_install() {
  local pom=$KAFKA_FILES/pom.xml
  cmp -s "$pom" "$CACHE/kafka/pom.xml" && return
  need_toolchain java "Java 17"
  need_toolchain mvn "Maven"
  say "downloading Kafka"
  mkdir -p "$KAFKA_LIB"
  mvn -q -B -f "$pom" dependency:copy-dependencies -DoutputDirectory="$KAFKA_LIB" >"$CACHE/kafka/maven.log" 2>&1 ||
    { tail -n 20 "$CACHE/kafka/maven.log" >&2; die "Maven could not download Kafka (log: $CACHE/kafka/maven.log)"; }
  # Last, so that a download cut short is done again.
  cp "$pom" "$CACHE/kafka/pom.xml"
}

kafka_java() {
  java "-Dlog4j2.configurationFile=$KAFKA_FILES/log4j2.properties" -cp "$KAFKA_LIB/*" "$@"
}

kafka_start() {
  local properties=$STACK_DIR/kafka.properties id
  cat >"$properties" <<PROPERTIES
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:$KAFKA_CONTROLLER_PORT
listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT,CONTROLLER://127.0.0.1:$KAFKA_CONTROLLER_PORT
advertised.listeners=PLAINTEXT://127.0.0.1:$KAFKA_PORT
controller.listener.names=CONTROLLER
log.dirs=$STACK_DIR/kafka
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
# Topics are made by citypulse with the partitions that were asked for, never by accident.
auto.create.topics.enable=false
PROPERTIES
  if [ ! -e "$STACK_DIR/kafka/meta.properties" ]; then
    # A cluster id is 16 random bytes in base64; "c" first, as it must not begin with a dash.
    id=c$(head -c 16 /dev/urandom | base64 | tr '+/' '_-' | cut -c 2-22)
    kafka_java -Xmx128m -XX:TieredStopAtLevel=1 kafka.tools.StorageTool format -t "$id" -c "$properties" >"$STACK_DIR/kafka.log" 2>&1 ||
      { cat "$STACK_DIR/kafka.log" >&2; die "Kafka could not prepare $STACK_DIR/kafka"; }
  fi
  start_process kafka java "-Dlog4j2.configurationFile=$KAFKA_FILES/log4j2.properties" \
    -Xms128m -Xmx512m -cp "$KAFKA_LIB/*" kafka.Kafka "$properties"
}

kafka_healthy() { python3 "$KAFKA_FILES/kafka_ready.py" "$KAFKA_PORT"; }

kafka_environment() { echo "export CITYPULSE_KAFKA__BOOTSTRAP_SERVERS=127.0.0.1:$KAFKA_PORT"; }
