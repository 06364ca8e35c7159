# Background processes with a pid file that cannot lie: it holds the pid and the
# moment the kernel started it, so a pid that was given to somebody else is never
# taken for ours. Sourced after lib.sh; needs STACK_DIR.

started_at() { # field 22 of /proc/PID/stat, counted after the name, which may hold spaces
  local stat
  stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  stat=${stat##*) }
  set -- $stat
  # A zombie has ended: only its parent has not looked yet.
  [ "$1" != Z ] && printf '%s' "${20}"
}

process_pid() { # NAME -> its pid, fails when it does not run
  local pid start
  read -r pid start 2>/dev/null <"$STACK_DIR/$1.pid" || return 1
  [ "$(started_at "$pid")" = "$start" ] || return 1
  printf '%s' "$pid"
}

process_runs() { process_pid "$1" >/dev/null; }

start_process() { # NAME COMMAND...: detached; output to STACK_DIR/NAME.log
  local name=$1 pid
  shift
  setsid "$@" >>"$STACK_DIR/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!
  printf '%s %s\n' "$pid" "$(started_at "$pid")" >"$STACK_DIR/$name.pid"
}

stop_process() { # NAME: SIGTERM, after 20 s SIGKILL
  local name=$1 pid
  if pid=$(process_pid "$name"); then
    kill "$pid"
    # A paused process hears SIGTERM only once it goes on.
    kill -CONT "$pid" 2>/dev/null || true
    local deadline=$((SECONDS + 20))
    while process_runs "$name"; do
      if [ "$SECONDS" -ge "$deadline" ]; then
        say "$name did not end within 20 s: killed"
        kill -KILL "$pid" 2>/dev/null || true
        deadline=$((SECONDS + 20))
      fi
      sleep 0.05
    done
  fi
  rm -f "$STACK_DIR/$name.pid"
}
