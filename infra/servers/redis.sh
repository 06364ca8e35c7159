# Redis from Debian. Sourced by stack.sh.

REDIS_PORT=${REDIS_PORT:-6379}

redis_ports() { echo "REDIS_PORT=$REDIS_PORT"; }

redis_install() { need_packages redis-server=redis-server redis-cli=redis-tools; }

redis_start() {
  mkdir -p "$STACK_DIR/redis"
  start_process redis redis-server --bind 127.0.0.1 --port "$REDIS_PORT" \
    --dir "$STACK_DIR/redis" --appendonly yes --save '' --maxmemory-policy noeviction
}

# PING is answered with an error while the file is still being loaded.
redis_healthy() { [ "$(redis-cli -h 127.0.0.1 -p "$REDIS_PORT" ping 2>/dev/null)" = PONG ]; }

redis_environment() { echo "export CITYPULSE_REDIS__URL=redis://127.0.0.1:$REDIS_PORT"; }
