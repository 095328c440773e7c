
## Starting releases, and switching between them.

# slot_of RELEASE_DIR: prints the slot of the release.
slot_of() {
  case $(setting "$1" SLOT) in
  green) echo green ;;
  *) echo blue ;;
  esac
}

# live_slot: prints the slot that nginx passes requests to.
live_slot() { if [ -n "$lib_dir" ] && [ -e "$lib_dir/green" ]; then echo green; else echo blue; fi; }

# make_live RELEASE_DIR: makes nginx pass requests to the release. Nothing has to be reloaded.
make_live() {
  [ -n "$lib_dir" ] || return 0
  why="cannot get visitors: $lib_dir/green cannot be made or removed. See: df -h $lib_dir; ls -ld $lib_dir"
  case $(slot_of "$1") in
  # Not `:`, whose failed redirection would end the shell.
  green) [ -f "$lib_dir/green" ] || true >"$lib_dir/green" || return ;;
  *) [ ! -e "$lib_dir/green" ] || rm -f "$lib_dir/green" || return ;;
  esac
  [ ! -d "$lib_dir" ] || sync "$lib_dir"
}

# make_current RELEASE: makes it the current release. The rename is atomic, so a current release always exists.
make_current() {
  ln -sfn "$1" "$current.new" && mv -T "$current.new" "$current" && sync "$deploy_dir" && return
  why="answers, but cannot become the current release: is the disk full? See: df -h $deploy_dir"
  return 1
}

# exec_release RELEASE_DIR SLOT_FILE [setsid]: becomes the release, unless there is a slot file that does not name it any more.
exec_release() {
  env_file=$1/.env
  # Releases that an older gatling has deployed have no .env of their own.
  [ -f "$env_file" ] || env_file=$deploy_dir/.env
  set -a
  PHX_SERVER=true PHX_HOST=$(setting "$1" HOST)
  # Makes Erlang's distribution listen on this machine only, instead of on every interface.
  RELEASE_DISTRIBUTION=name RELEASE_NODE=$project@127.0.0.1 ERL_EPMD_ADDRESS=127.0.0.1
  ERL_AFLAGS='-kernel inet_dist_use_interface {127,0,0,1} -shutdown_time 30000'
  # Uses positional parameters, because the app's variables may have the same names as this script's.
  set -- "$1/$project/bin/$(setting "$1" PROGRAM)" "$2" "${3:-}" "$(setting "$1" PORT)" "$deploy_dir" "$env_file" \
    "$(basename "$1")" "$(setting "$1" DRAIN_SECONDS)"
  if [ -f "$6" ]; then . "$6"; fi
  PORT=$4 GATLING_DEPLOY_DIR=$5 GATLING_RELEASE=$7 GATLING_DRAIN_SECONDS=$8
  set +a
  unset GATLING_SUPERVISOR
  # The shell becomes the release, so its pid is that of the release. It looks at the slot file once it can be found by that: who
  # stops releases removes the file first.
  exec $3 sh -c 'GATLING_PID=$$ exec sh -c "$1" "$2" "$3"' sh \
    '[ -z "$1" ] || grep -qsxF "$GATLING_RELEASE" "$1" || exit 77
    exec "$0" start' "$1" "$2"
}

# start_release RELEASE_DIR [keep]: starts the release and waits until it answers and keeps answering. If it
# does not, sets $why to the reason and stops the release. With "keep", a failing release is left running,
# because there is no other one to run.
start_release() {
  keep=${2:-}
  port=$(setting "$1" PORT)
  program=$1/$project/bin/$(setting "$1" PROGRAM)
  if ! [ -x "$program" ]; then why="has no program $program"; return 1; fi
  if uses_units; then
    # systemd may have started it by itself.
    if child=$(running_pid "$(basename "$1")") && unit_slot "$child" >/dev/null; then
      begin_log "$1"
      await_health "$1"
      return
    fi
    end_others_in "$(slot_of "$1")" "$(basename "$1")"
  fi
  if ! port_is_free "$port"; then
    why="cannot start: another program listens on port $port. Stop it, or choose another port: gatling config set $project PORT=NUMBER"
    return 1
  fi
  (umask 077 && mkdir -p "$deploy_dir/run" "$deploy_dir/log")
  begin_log "$1"
  if uses_units; then
    start_unit "$1" || return
  else
    (exec_release "$1" '' setsid) >>"$(log_of "$1")" 2>&1 </dev/null 9>&- &
    child=$!
  fi
  await_health "$1"
}

# await_health RELEASE_DIR: waits until the process $child answers, and watches it for a while.
await_health() {
  echo "$child" >"$pid_file"
  watch=$(setting "$1" WATCH_SECONDS)
  become_healthy "$1" && keeps_answering "$1" "${watch:-0}"
}

start() {
  supervise_afterwards
  [ -d "$current" ] || fail "nothing is deployed in $deploy_dir; deploy it with: gatling deploy $project"
  release=$(realpath "$current")
  if pid=$(running_pid "$(basename "$release")"); then
    say "is already running, pid $pid"
    return 0
  fi
  check_rights "$release"
  make_live "$release" || say "$(basename "$release") $why"
  # What an interrupted deployment has left.
  stop_releases
  keep_it=''
  # A release that has served before may only have to wait for its database.
  if [ -f "$deploy_dir/deployed" ]; then keep_it=keep; fi
  if start_release "$release" "$keep_it"; then
    say "$(basename "$release") answers on port $port"
  else
    show_log
    # systemd starts it again if it has died.
    [ -n "$keep_it" ] && { uses_units || alive "$child"; } || stop_releases
    fail "$(basename "$release") $why"
  fi
}

# find_release RELEASE: sets $new to the release's folder.
find_release() {
  new=$deploy_dir/releases/$1
  case $1 in */* | .*) new=/nonexistent ;; esac
  [ -f "$new/service.env" ] || fail "there is no release $1. The releases in $deploy_dir/releases are: $(ls "$deploy_dir/releases" | tr '\n' ' ')"
}

upgrade() {
  find_release "$1"
  old=$(readlink "$current")
  if [ "$old" = "releases/$1" ]; then
    check_rights "$new"
    instead=$new
    stop_releases
    start
    return
  fi
  # Without a current release, what runs was never proven: an interrupted first deployment has left it.
  [ -n "$old" ] || stop_releases
  new_port=$(setting "$new" PORT)
  if [ "$new_port" != "$(setting "$current" PORT)" ]; then clear_place; fi
  if ! running_pid >/dev/null || [ "$new_port" != "$(setting "$current" PORT)" ]; then
    port_is_free "$new_port" ||
      fail "another program listens on port $new_port; nothing was changed. Stop it, or choose another port: gatling config set $project PORT=NUMBER"
  fi
  check_rights "$new"
  supervise_afterwards
  # If this script is killed, systemd starts the old one again.
  if [ -n "$old" ] && [ "$(slot_of "$deploy_dir/$old")" = "$(slot_of "$new")" ]; then instead=$deploy_dir/$old; fi
  stop_releases
  # Only a release that has answered is started at boot.
  if start_release "$new" && make_live "$new" && make_current "releases/$1"; then
    say "$1 answers on port $port"
    return 0
  fi
  new_why=$why
  # systemd may have started the old one again already.
  for pid in $(pids); do runs "$pid" "$(basename "$old")" || end "$pid"; done
  if [ -z "$old" ]; then
    stop_releases
    show_log
    fail "$1 $new_why; there is no older release to put back"
  fi
  show_log
  # The new one may have become the current one before something failed.
  [ "$(readlink "$current")" = "$old" ] || make_current "$old"
  make_live "$deploy_dir/$old"
  start_release "$deploy_dir/$old" keep || fail "$1 $new_why. $(basename "$old") was put back, but it $why"
  fail "$1 $new_why. $(basename "$old") was put back and answers on port $port"
}

# clear_place: stops what an interrupted deployment has left running at the port of $new.
clear_place() {
  for pid in $(pids); do
    has "$pid" "PORT=$(setting "$new" PORT)" && end "$pid"
  done
}

# start_beside RELEASE: starts the release beside the one that serves.
start_beside() {
  find_release "$1"
  [ "$(setting "$new" PORT)" != "$(setting "$current" PORT)" ] ||
    fail "$1 has the same port as the current release. Use: $0 upgrade $1"
  clear_place
  serves=$(running_pid)
  start_release "$new"
  started=$?
  [ -z "$serves" ] || echo "$serves" >"$pid_file"
  if [ "$started" != 0 ]; then
    # Before anything takes time: systemd would start it again.
    withdraw "$(slot_of "$new")"
    if pid=$(running_pid "$1"); then end "$pid"; fi
    show_log
    fail "$1 $why"
  fi
  say "$1 answers on port $port; visitors do not get it yet"
}

# make_release_live RELEASE: does what make_live does, and updates the pid file for programs that watch the app by it.
make_release_live() {
  find_release "$1"
  make_live "$new" || fail "$1 $why"
  running_pid "$1" >"$pid_file" || true
}

# keep RELEASE: makes the release the one that serves and that is started at boot, and tells the others to stop when they
# have finished their requests. This completes an upgrade, or undoes it.
keep() {
  find_release "$1"
  supervise_afterwards
  if ! running_pid "$1" >/dev/null && ! back_in_place "$1"; then
    clear_place
    start_release "$new" keep || { show_log; fail "$1 $why"; }
  fi
  make_release_live "$1"
  [ "$(readlink "$current")" = "releases/$1" ] || make_current "releases/$1" || fail "$1 $why"
  # One that was upgraded in place is started again as what it runs now.
  if uses_units && unit_slot "$(running_pid "$1")" >/dev/null; then name_in_slot "$new"; fi
  stop_others "$1"
  say "visitors get $1${told:+; stopping $told}"
}
