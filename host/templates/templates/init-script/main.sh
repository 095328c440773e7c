
## The actions.

# lock: waits for other changes to end.
lock() {
  exec 9>"$deploy_dir/run/lock"
  flock "$@" 9
}

command -v curl >/dev/null || fail "this script needs curl: apt-get install curl"

usage() {
  echo "usage: $0 start|stop|restart|status|ping|upgrade VERSION" >&2
  exit 2
}

# One change at a time: a deployment and a user at the terminal would interfere with each other.
case $1 in
start | stop | restart | force-reload | upgrade | start-beside | make-live | keep | in-place | explain-in-place)
  (umask 077 && mkdir -p "$deploy_dir/run")
  lock -w 600 || fail "another start, stop or upgrade has been running for ten minutes: find the process that has $deploy_dir/run/lock open"
  ;;
esac

# A change in progress may itself wait for what systemd is doing here.
case $1 in
choose-at-boot | stop-with-unit)
  (umask 077 && mkdir -p "$deploy_dir/run")
  is_unlocked=''
  lock -w 2 || is_unlocked=yes
  ;;
esac

# Once a release is stopped, this must run until one serves: a signal must not end it.
case $1 in
restart | force-reload | upgrade | keep | in-place) trap : HUP INT TERM PIPE ;;
esac

case $1 in
start) start ;;
stop)
  # systemd also calls this if the kernel has killed the app because memory was short. The supervisor starts it again.
  [ "${SERVICE_RESULT:-}" != oom-kill ] || exit 0
  if uses_units; then
    # Otherwise it would still believe that the service runs, and not start it again.
    exec 9>&-
    as_root service "$project" stop >/dev/null 2>&1 </dev/null || true
  fi
  end_supervisor
  stop_releases
  say "stopped"
  ;;
stop-with-unit) end_supervisor; stop_releases ;;
supervise) supervise ;;
choose-at-boot) choose_at_boot ;;
run-in-unit) run_in_unit "$2" ;;
ended-in-unit) end_children "$2" ;;
restart | force-reload)
  supervise_afterwards
  if [ -d "$current" ]; then
    instead=$(realpath "$current")
    check_rights "$instead"
  fi
  stop_releases
  start
  ;;
upgrade)
  [ -n "$2" ] || usage
  upgrade "$2"
  start_supervisor
  exec 9>&-
  tell_systemd upgrade
  ;;
start-beside | make-live | keep | check-health | check-version | watch-errors | in-place | explain-in-place)
  [ -n "$2" ] || usage
  case $1 in
  start-beside) start_beside "$2" ;;
  make-live) make_release_live "$2"; say "visitors get $2 now" ;;
  keep) keep "$2" ;;
  check-health) check_health "$2" ;;
  check-version) check_version "$2" ;;
  watch-errors) watch_errors "$2" "${3:-10}" ;;
  in-place) in_place "$2" ;;
  explain-in-place) explain_in_place "$2" ;;
  esac
  ;;
ping)
  release=$(realpath "$current" 2>/dev/null) && running_pid "$(basename "$release")" >/dev/null &&
    { ask "$release"; is_good "$code"; } && { echo pong; exit 0; }
  echo "$project does not answer" >&2
  exit 1
  ;;
status)
  if pid=$(running_pid "$(basename "$(realpath "$current" 2>/dev/null)")") || pid=$(running_pid); then
    release=$(release_of "$pid")
    say "$release runs, pid $pid, port $(setting "$deploy_dir/releases/$release" PORT)"
  else
    say "stopped"
    exit 3
  fi
  ;;
*) usage ;;
esac
