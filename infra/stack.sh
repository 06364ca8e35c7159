#!/usr/bin/env bash
# Kafka, Redis and an S3 server on loopback, without Docker.
#   stack.sh install|start|stop|status [SERVER...]     SERVER: kafka redis minio versitygw
# Data, logs and pid files are in STACK_DIR. Several stacks may run side by side when
# each has its own STACK_DIR, KAFKA_PORT, KAFKA_CONTROLLER_PORT, REDIS_PORT and S3_PORT.
. "$(dirname "$0")/lib.sh"
STACK_DIR=${STACK_DIR:-$CACHE/stack}
STACK_S3=${STACK_S3:-minio}
. "$ROOT/infra/process.sh"
. "$ROOT/infra/servers/kafka.sh"
. "$ROOT/infra/servers/redis.sh"
. "$ROOT/infra/servers/s3.sh"
. "$ROOT/infra/servers/minio.sh"
. "$ROOT/infra/servers/versitygw.sh"

install_servers() {
  local server
  for server in "$@"; do only_once "$server" "${server}_install"; done
}

# All ports before the first start: a stack starts whole or says what is in the way.
check_ports() {
  local server pair
  for server in "$@"; do
    if process_runs "$server"; then continue; fi
    for pair in $("${server}_ports"); do
      if port_is_taken "${pair#*=}"; then
        die "port ${pair#*=} is in use: stop what listens there, or choose another with ${pair%%=*}=N"
      fi
    done
  done
}

start_servers() {
  local server
  need_toolchain python3 "Python 3.11"
  check_ports "$@"
  for server in "$@"; do
    if ! process_runs "$server"; then "${server}_start"; fi
  done
  for server in "$@"; do wait_healthy "$server"; done
}

wait_healthy() {
  local deadline=$((SECONDS + 60))
  until "$1_healthy" >/dev/null 2>&1; do
    if ! process_runs "$1" || [ "$SECONDS" -ge "$deadline" ]; then
      tail -n 15 "$STACK_DIR/$1.log" >&2
      die "$1 did not come up (log: $STACK_DIR/$1.log)"
    fi
    sleep 0.1
  done
}

# What a shell needs in order to run citypulse against this stack.
write_environment() {
  local server
  (
    umask 077
    for server in kafka redis "$STACK_S3"; do "${server}_environment"; done >"$STACK_DIR/env.part"
    mv "$STACK_DIR/env.part" "$STACK_DIR/env"
  )
}

# exit 0 only when every server asked about is healthy
show_status() {
  local server pid state result=0
  for server in "$@"; do
    if ! pid=$(process_pid "$server"); then
      state="not running"
      result=1
    elif "${server}_healthy" >/dev/null 2>&1; then
      state="healthy, pid $pid"
    else
      state="running, pid $pid, does not answer"
      result=1
    fi
    printf '%-10s %-48s %s\n' "$server" "$("${server}_ports")" "$state"
  done
  return "$result"
}

main() {
  local verb=${1:-status} server
  shift || true
  [ $# -gt 0 ] || set -- kafka redis "$STACK_S3"
  for server in "$@"; do
    case $server in kafka | redis | minio | versitygw) ;; *) die "no such server: $server (kafka, redis, minio, versitygw)" ;; esac
  done
  mkdir -p "$STACK_DIR"
  STACK_DIR=$(cd "$STACK_DIR" && pwd)
  if [ "$verb" != status ]; then
    exec 9>"$STACK_DIR/lock"
    flock 9
  fi
  case $verb in
    install) install_servers "$@" ;;
    start)
      install_servers "$@"
      start_servers "$@"
      write_environment
      show_status "$@"
      echo "Run CityPulse on it:  . $STACK_DIR/env && citypulse up --config infra/stack.toml"
      ;;
    stop) for server in "$@"; do stop_process "$server"; done ;;
    status) show_status "$@" ;;
    *) die "stack.sh install|start|stop|status [SERVER...]" ;;
  esac
}

main "$@"
