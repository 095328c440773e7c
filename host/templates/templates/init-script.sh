#!/bin/sh
# {{ marker }}
# Every deployment overwrites this file as long as it contains the line above.
### BEGIN INIT INFO
# Provides:          {{ project }}
# Required-Start:    $local_fs $network $named $time $syslog
# Required-Stop:     $local_fs $network $named $time $syslog
# Default-Start:     2 3 4 5
# Default-Stop:      0 1 6
# Short-Description: {{ project }}, deployed by gatling
### END INIT INFO

project={{ project | sh }}
deploy_dir={{ deploy_dir | sh }}
uid={{ uid }}
gid={{ gid }}
home={{ home | sh }}
lib_dir={{ lib_dir | sh }}
# Deployments hold this lock.
run_lock={{ run_lock | sh }}
# systemd's unit of a slot, if units are installed for the system.
unit={{ unit | sh }}
stop_seconds=30
# A release that has run for this time counts as stable again.
calm_seconds=60
# How many seconds an app may answer with errors before it counts as failed: it may still be starting.
error_seconds=3

PATH=${PATH:-/usr/bin:/bin}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export LANG="${LANG:-C.UTF-8}"
pid_file=$deploy_dir/run/$project.pid
current=$deploy_dir/current
# When which release was started again: a time in seconds and a name in each line.
restarts={{ restarts | sh }}
supervisor_file=$deploy_dir/run/supervisor
# The processes of releases that were told to stop.
stopping=$deploy_dir/run/stopping
script=$(realpath "$0")

# Not echo, which changes backslashes.
say() { printf '%s\n' "$project: $*"; }
fail() { say "$@" >&2; exit 1; }

# tell_systemd ACTION: systemd, which runs this script at boot, does not notice apps that it has not started
# itself, and would not stop them at shutdown. So after an upgrade this tells systemd that the app runs.
tell_systemd() {
  if [ "$1" = upgrade ] && [ "$(id -u)" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl start "$project.service"
  fi
}

# uses_units: whether systemd runs the releases, each in the unit of its slot. It then also starts those again that die.
uses_units() { [ -n "$unit" ] && [ -f "$unit" ] && [ -d /run/systemd/system ]; }

# The app and its files belong to the user who deployed it.
if [ "$(id -u)" != "$uid" ]; then
  [ "$(id -u)" = 0 ] || fail "only root and the user with the id $uid may do this. Use: sudo service $project $*"
  setpriv --reuid "$uid" --regid "$gid" --init-groups "$0" "$@" || exit
  tell_systemd "$1"
  exit 0
fi
export HOME="$home"
cd "$deploy_dir" || fail "cannot enter $deploy_dir: deploy the project again with: gatling deploy $project"

# setting RELEASE_DIR NAME: prints a setting that gatling has stored for this release.
setting() { sed -n "s/^GATLING_$2='\([^']*\)'\$/\1/p" "$1/service.env" 2>/dev/null; }

# has PID VARIABLE: whether the environment of the process contains VARIABLE.
has() { grep -qszxF "$2" "/proc/$1/environ"; }

# marked VARIABLE: prints the pids of the project's processes that have their own pid in this variable of their environment.
marked() {
  for file in $(grep -lszxF "GATLING_DEPLOY_DIR=$deploy_dir" /proc/[0-9]*/environ); do
    found=${file#/proc/} found=${found%/environ}
    if has "$found" "$1=$found"; then echo "$found"; fi
  done
}

# pids: prints the pids of the project's running releases, which start_release has marked. A pid file could be missing or
# outdated.
pids() {
  releases=$(marked GATLING_PID)
  if [ -n "$releases" ]; then echo "$releases"; return; fi
  # Older versions of gatling started releases without GATLING_PID.
  read -r running 2>/dev/null <"$pid_file" && has "$running" "GATLING_DEPLOY_DIR=$deploy_dir" && echo "$running"
  return 0
}

# runs PID RELEASE: whether the process runs this release.
runs() { [ "$(release_of "$1")" = "$2" ]; }

# release_of PID: prints the release that the process runs.
release_of() {
  upgraded_to "$1" && return
  named=$(started_as "$1")
  # Older versions of gatling did not name the release.
  echo "${named:-$(basename "$(realpath "$current")")}"
}

# started_as PID: prints the release that the process was started as.
started_as() { tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^GATLING_RELEASE=//p'; }

# upgraded_to PID: prints the release that the process was upgraded to in place: it keeps a file of it open.
upgraded_to() {
  find "/proc/$1/fd" -lname '*/in-place' -printf '%l\n' 2>/dev/null | while read -r file; do
    name=$(basename "$(dirname "$file")")
    if [ "$file" -ef "$deploy_dir/releases/$name/in-place" ]; then echo "$name"; fi
  done | grep -m 1 .
}

# running_pid [RELEASE]: prints the pid of the release, or of any release of the project, but not of one that was told to stop.
running_pid() {
  for candidate in $(pids); do
    is_stopping "$candidate" && continue
    if [ -z "$1" ] || runs "$candidate" "$1"; then echo "$candidate"; return 0; fi
  done
  return 1
}

# is_stopping PID: whether stop_others has told the process to stop.
is_stopping() { grep -qsx "$(identity "$1")" "$stopping"; }

# identity PID: prints the pid and the time when the process was started, because a pid can be used again.
identity() { echo "$1 $(sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d ' ' -f 20)"; }

# alive PID: whether the process exists and is not a zombie.
alive() { grep -q '^State:[[:space:]]*[^ZX[:space:]]' 2>/dev/null "/proc/$1/status"; }

# ask RELEASE_DIR: sends a request to the release, with its first host name. Sets $code to the status, or to 000
# if there is no answer, and $wanted to the only good status, if there is only one.
ask() {
  wanted=$(setting "$1" HEALTH_STATUS)
  url=http://127.0.0.1:$(setting "$1" PORT)$(setting "$1" HEALTH_PATH)
  code=$(curl --disable --silent --output /dev/null --noproxy '*' --max-time 5 --write-out '%{http_code}' \
    --header "Host: $(setting "$1" HOST)" --header "X-Forwarded-Proto: $(setting "$1" SCHEME)" "$url")
}

# is_good CODE: whether the status means that the app is healthy.
is_good() {
  if [ -n "$wanted" ]; then [ "$1" = "$wanted" ]; else [ "$1" -ge 100 ] && [ "$1" -lt 500 ]; fi
}

# uptime: prints the seconds since the machine was started. Unlike the time of day, this never jumps.
uptime() { cut -d. -f1 /proc/uptime; }

# port_is_free PORT: whether no program listens on the port (curl's status 7 is a refused connection).
port_is_free() {
  curl --disable --silent --output /dev/null --noproxy '*' --max-time 5 "http://127.0.0.1:$1/"
  [ $? = 7 ]
}

# as_root COMMAND...: runs a command as root. The sudo rule of the project allows it.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# slot_file SLOT: prints the path of the file that names the release which systemd runs in the slot. Without the file, it runs
# nothing there.
slot_file() { echo "$deploy_dir/run/$1"; }

# unit_slot PID: prints the slot in whose unit the process runs.
unit_slot() { sed -n "s|^[0-9]*:[^:]*:.*/$project@\([a-z]*\)\.service\$|\1|p" "/proc/$1/cgroup" 2>/dev/null | grep -m 1 .; }

# not_again PID: makes sure that systemd does not start again what runs in the unit of the process.
not_again() {
  if slot=$(unit_slot "$1"); then rm -f "$(slot_file "$slot")"; fi
}

# name_in_slot RELEASE_DIR: has systemd run the release in the unit of its slot from now on.
name_in_slot() {
  file=$(slot_file "$(slot_of "$1")")
  basename "$1" >"$file.new" && mv "$file.new" "$file"
}

# start_unit RELEASE_DIR: has systemd start the release in the unit of its slot. Sets $child to its pid. If that fails, sets $why.
start_unit() {
  if ! name_in_slot "$1" || ! true >"$file.now"; then
    why="cannot start: is the disk full? See: df -h $deploy_dir"
    return 1
  fi
  rm -f "$file.pid"
  slot=$(slot_of "$1")
  if ! output=$(as_root service "$project@$slot" start 2>&1 </dev/null 9>&-); then
    why="cannot start: systemd or sudo refuses it: $output. What sudo must allow is printed by: gatling sudoers $project"
    return 1
  fi
  begun=$(uptime)
  until read -r child 2>/dev/null <"$file.pid"; do
    if [ $(($(uptime) - begun)) -ge 10 ]; then
      why="was not started by systemd. See: systemctl status $project@$slot"
      return 1
    fi
    sleep 0.05
  done
}

# stop_releases: stops all releases of the project.
stop_releases() {
  rm -f "$(slot_file blue)" "$(slot_file green)"
  for pid in $(pids); do end "$pid"; done
  rm -f "$pid_file"
}

# stop_others RELEASE: tells all other releases of the project to stop, each when it has finished its requests. Does not
# wait until they have: visitors do not get them, and whoever needs their port waits for them. Sets $told to their names.
stop_others() {
  told=''
  case $(slot_of "$deploy_dir/releases/$1") in
  green) rm -f "$(slot_file blue)" ;;
  *) rm -f "$(slot_file green)" ;;
  esac
  true >"$stopping"
  for pid in $(pids); do
    runs "$pid" "$1" && continue
    told="$told, $(release_of "$pid")"
    drain "$pid"
    not_again "$pid"
    # If the disk is full, this waits.
    if identity "$pid" >>"$stopping"; then kill -TERM "$pid" 2>/dev/null; else end "$pid"; fi
  done
  told=${told#, }
}

# under_way PORT: prints how many requests nginx has under way at this port. Its WebSockets come from 127.0.0.2.
under_way() {
  port_hex=$(printf '%04X' "$1")
  grep -Eh "^ *[0-9]+: [0-9A-F]+:$port_hex [0-9A-F]+:[0-9A-F]+ 01 " /proc/net/tcp /proc/net/tcp6 2>/dev/null |
    grep -Evc ' [0-9A-F]*0200007F:[0-9A-F]+ 01 '
}

# drain PID: waits until the process has finished the requests that it has.
drain() {
  port=$(tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^PORT=//p')
  seconds=$(tr '\0' '\n' <"/proc/$1/environ" | sed -n 's/^GATLING_DRAIN_SECONDS=//p')
  [ -n "$port" ] || return 0
  # Older versions of gatling did not set it. With their site, WebSockets look like requests.
  seconds=${seconds:-10}
  # nginx may have chosen the port for a request just before, and not be connected yet.
  sleep 0.05
  begun=$(uptime) said=''
  while alive "$1" && count=$(under_way "$port") && [ "$count" -gt 0 ]; do
    if [ $(($(uptime) - begun)) -ge "$seconds" ]; then
      say "requests not finished after $seconds s, which end now: $count"
      return 0
    fi
    [ -n "$said" ] || say "waiting up to $seconds s for the other release to finish its requests: $count"
    said=yes
    sleep 0.1
  done
}

# end PID: stops the process, and waits until it has exited.
end() {
  not_again "$1"
  kill -TERM "$1" 2>/dev/null
  waited=0
  while alive "$1"; do
    if [ "$waited" -ge $((stop_seconds * 10)) ]; then
      say "pid $1 did not stop within $stop_seconds s; killing it"
      kill -KILL "$1" 2>/dev/null
      sleep 0.5
      break
    fi
    sleep 0.1
    waited=$((waited + 1))
  done
}

# kill_now PID: kills the process, and waits until it is gone.
kill_now() {
  not_again "$1"
  while alive "$1"; do
    kill -KILL "$1" 2>/dev/null
    sleep 0.1
  done
}

# log_of RELEASE_DIR: prints the path of the release's log.
log_of() {
  case $(slot_of "$1") in
  green) echo "$deploy_dir/log/$project-green.log" ;;
  *) echo "$deploy_dir/log/$project.log" ;;
  esac
}

# log_name RELEASE_DIR: prints where the release's log can be read.
log_name() {
  if uses_units; then echo "journalctl -u $project@$(slot_of "$1")"; else log_of "$1"; fi
}

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
    '[ -z "$1" ] || grep -qsxF "$GATLING_RELEASE" "$1" || exit 0
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
  echo "$child" >"$pid_file"
  watch=$(setting "$1" WATCH_SECONDS)
  become_healthy "$1" && keeps_answering "$1" "${watch:-0}"
}

# become_healthy RELEASE_DIR: waits until the process $child answers. If it does not, sets $why to the reason, and stops the
# process unless $keep is set.
become_healthy() {
  port=$(setting "$1" PORT) seconds=$(setting "$1" HEALTH_SECONDS)
  successes=$(setting "$1" HEALTH_SUCCESSES) good=0
  begun=$(uptime) erring_since='' shown='' log_is_shown=''
  while alive "$child"; do
    ask "$1"
    now=$(uptime)
    if is_good "$code"; then
      good=$((good + 1)) erring_since=''
      if [ "$good" -ge "${successes:-1}" ]; then return 0; fi
      sleep 0.5
      continue
    fi
    good=0
    [ "$code" != 000 ] || erring_since=''
    if [ "$code" != 000 ] && [ "$code" != "$shown" ]; then
      say "answers with $code at $url"
      # The app may log the reason a moment later.
      sleep 0.5
      show_log
      shown=$code log_is_shown=yes
    fi
    # An app that is not ready yet answers with 503. With any other error, waiting does not help.
    if [ "$code" != 000 ] && [ "$code" != 503 ]; then
      erring_since=${erring_since:-$now}
      if [ $((now - erring_since)) -ge "$error_seconds" ]; then
        give_up
        why="runs, but answers with $code${wanted:+ instead of $wanted} at $url"
        return 1
      fi
    fi
    if [ $((now - begun)) -ge "$seconds" ]; then
      give_up
      case $code in
      000) why="did not answer at $url within $seconds s. Does it listen on the port that the variable PORT names?" ;;
      *) why="still answers with $code at $url after $seconds s" ;;
      esac
      return 1
    fi
    sleep 0.1
  done
  log_is_shown=''
  why="stopped by itself before it answered"
  return 1
}

# give_up: stops an app that answers with errors or not at all, unless there is no other one to run.
give_up() { [ -n "$keep" ] || end "$child"; }

# keeps_answering RELEASE_DIR SECONDS: watches an app that has answered, and checks its answer again at the end.
keeps_answering() {
  begun=$(uptime)
  while now=$(uptime) && [ $((now - begun)) -lt "$2" ]; do
    sleep 0.5
    if ! alive "$child"; then
      log_is_shown=''
      why="answered, and stopped by itself $((now - begun)) s later"
      return 1
    fi
  done
  [ "$2" -gt 0 ] || return 0
  ask "$1"
  if ! is_good "$code"; then
    give_up
    why="answered at first, but then failed: the status is now $code at $url"
    return 1
  fi
}

# begin_log RELEASE_DIR: notes where the log of the release ends now.
begin_log() {
  logged=$1 log_before=$(wc -c 2>/dev/null <"$(log_of "$1")" || echo 0) log_since=$(date +%s)
}

# new_log: prints what the app has logged since then.
new_log() {
  if ! uses_units; then
    tail -c "+$((log_before + 1))" "$(log_of "$logged")" 2>/dev/null
    return
  fi
  # Its last lines may be under way to the journal.
  sleep 0.3
  journalctl --quiet --no-pager --output cat --since "@$log_since" --unit "$project@$(slot_of "$logged")" 2>&1
}

show_log() {
  [ -z "$log_is_shown" ] || return 0
  echo "The last lines of $(log_name "$logged"):"
  lines=$(new_log)
  printf '%s\n' "$lines" | tail -n 20 | sed 's/^/  /'
  if printf '%s\n' "$lines" | grep -q 'in use by another Erlang node'; then
    say "another app on this machine has the same node name. Choose another one: gatling config set $project RELEASE_NODE=${project}2@127.0.0.1"
  fi
}

# make_current RELEASE: makes it the current release. The rename is atomic, so a current release always exists.
make_current() {
  ln -sfn "$1" "$current.new" && mv -T "$current.new" "$current" && sync "$deploy_dir" && return
  why="answers, but cannot become the current release: is the disk full? See: df -h $deploy_dir"
  return 1
}

start() {
  supervise_afterwards
  [ -d "$current" ] || fail "nothing is deployed in $deploy_dir; deploy it with: gatling deploy $project"
  release=$(realpath "$current")
  if pid=$(running_pid "$(basename "$release")"); then
    say "is already running, pid $pid"
    return 0
  fi
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
  supervise_afterwards
  stop_releases
  # Only a release that has answered is started at boot.
  if start_release "$new" && make_live "$new" && make_current "releases/$1"; then
    say "$1 answers on port $port"
    return 0
  fi
  show_log
  new_why=$why
  stop_releases
  [ -n "$old" ] || fail "$1 $new_why; there is no older release to put back"
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
    show_log
    rm -f "$(slot_file "$(slot_of "$new")")"
    if pid=$(running_pid "$1"); then end "$pid"; fi
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

# rpc RELEASE_DIR SECONDS CODE: has the running release evaluate Elixir code.
rpc() {
  (
    set -a
    RELEASE_DISTRIBUTION=name RELEASE_NODE=$project@127.0.0.1 ERL_EPMD_ADDRESS=127.0.0.1
    ERL_AFLAGS='-kernel inet_dist_use_interface {127,0,0,1}'
    set -- "$1/$project/bin/$(setting "$1" PROGRAM)" "$2" "$3" "$1/.env"
    # Releases that an older gatling has deployed have no .env of their own.
    [ -f "$4" ] || set -- "$1" "$2" "$3" "$deploy_dir/.env"
    if [ -f "$4" ]; then . "$4"; fi
    set +a
    if [ "$RELEASE_DISTRIBUTION" = none ]; then
      echo 'nothing can connect to it, because of RELEASE_DISTRIBUTION=none'
      exit 1
    fi
    exec timeout "$2" "$1" rpc "$3" </dev/null 2>&1 9>&-
  )
}

# in_elixir TEXT: prints the text as a string of Elixir.
in_elixir() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"#]/\\&/g')"; }

# change_in_place PID FOLDER MARKER up|down|explain: has the process upgrade itself to the release in the folder, and then keep the
# marker open. Sets $output to what it says, and $answer to the last line of that.
change_in_place() {
  runs_now=$deploy_dir/releases/$(release_of "$1")
  text="Code.eval_file($(in_elixir "$deploy_dir/in-place.exs"))
    Gatling.InPlace.run($(in_elixir "$runs_now/$project"), $(in_elixir "$2"), $(in_elixir "$(setting "$runs_now" PROGRAM)"),
      $(in_elixir "$deploy_dir/run/in-place"), $(in_elixir "$3"), :$4)
    :code.purge(Gatling.InPlace)
    :code.delete(Gatling.InPlace)
    :code.purge(Gatling.InPlace)"
  output=$(rpc "$runs_now" 120 "$text")
  answer=$(printf '%s\n' "$output" | tail -n 1)
  # It contains the app's config for a moment.
  rm -rf "$deploy_dir/run/in-place"
  case $answer in
  "upgraded to "* | "could be upgraded to "* | "cannot: "* | "failed: "*) ;;
  *)
    # Once it has begun, it may still go on.
    if printf '%s\n' "$output" | grep -qx begun; then
      answer='failed: the node stopped answering during the upgrade'
    else
      answer="cannot: the node does not answer: $answer"
    fi
    ;;
  esac
}

# check_version RELEASE: fails if the node says that it runs another version than that of the release.
check_version() {
  find_release "$1"
  wanted=$(cut -d ' ' -f 2 "$new/$project/releases/start_erl.data")
  output=$(rpc "$new" 10 'IO.puts("gatling-version " <> to_string(elem(:init.script_id(), 1)))')
  answer=$(printf '%s\n' "$output" | sed -n 's/^gatling-version //p')
  if [ -n "$answer" ] && [ "$answer" != "$wanted" ]; then
    fail "$1 should run version $wanted, but its node says $answer. Does a variable such as RELEASE_VSN choose another one?"
  fi
  case $answer$output in
  "$wanted"* | *RELEASE_DISTRIBUTION=none) ;;
  *) say "the node of $1 could not be asked for its version: $output" ;;
  esac
}

# check_health RELEASE: fails unless the release, which runs already, is as healthy as one that starts must be.
check_health() {
  find_release "$1"
  child=$(running_pid "$1") || fail "$1 does not run"
  keep=keep
  begin_log "$new"
  become_healthy "$new" || { show_log; fail "$1 $why"; }
}

# watch_errors RELEASE SECONDS: counts the errors that visitors get, and ends early if there are too many. Its last line says how
# many: see soak.exs.
watch_errors() {
  find_release "$1"
  percent=$(setting "$new" SOAK_ERRORS)
  rpc "$new" "$(($2 + 20))" "Code.eval_file($(in_elixir "$deploy_dir/soak.exs"))
    Gatling.Soak.watch($2, ${percent:-10})
    :code.delete(Gatling.Soak)
    :code.soft_purge(Gatling.Soak)"
}

# process_in_place: prints the pid of the process that could be upgraded in place: that of the current release, or of one that
# it was upgraded to.
process_in_place() {
  running_pid "$(basename "$(readlink "$current")")" && return
  for candidate in $(pids); do
    if ! is_stopping "$candidate" && upgraded_to "$candidate" >/dev/null; then echo "$candidate"; return; fi
  done
  return 1
}

# in_place RELEASE: upgrades the running release to this one without stopping it. The status is 3 if that is impossible; nothing
# has changed then.
in_place() {
  find_release "$1"
  if ! pid=$(process_in_place); then
    say "cannot: the app does not run"
    exit 3
  fi
  if runs "$pid" "$1"; then
    say "$1 already runs, pid $pid"
    return
  fi
  if [ "$(setting "$new" PORT)" != "$(setting "$current" PORT)" ]; then
    say "cannot: $1 has another port"
    exit 3
  fi
  marker=$new/in-place
  if [ "$(started_as "$pid")" = "$1" ]; then marker=''; else true >"$marker" || fail "cannot write $marker"; fi
  direction=up
  # Back to one that served before.
  if grep -qsxF "$1" "$deploy_dir/served"; then direction=down; fi
  change_in_place "$pid" "$new/$project" "$marker" "$direction"
  if runs "$pid" "$1"; then
    case $answer in
    "upgraded to "*) say "$1 runs in the same process as before, pid $pid"; return ;;
    esac
  fi
  say "$answer"
  case $answer in
  "cannot: "*) if alive "$pid" && ! runs "$pid" "$1"; then exit 3; fi ;;
  # Erlang restarts a node whose upgrade it could not complete, and ignores SIGTERM meanwhile.
  *) kill_now "$pid" ;;
  esac
  old=$(basename "$(readlink "$current")")
  keep "$old"
  fail "the upgrade in place did not succeed, so $old was started again"
}

# back_in_place RELEASE: has the process that was upgraded in place go back to this release.
back_in_place() {
  pid=$(process_in_place) && upgraded_to "$pid" >/dev/null || return
  [ "$(setting "$new" PORT)" = "$(setting "$deploy_dir/releases/$(release_of "$pid")" PORT)" ] || return
  marker=$new/in-place
  if [ "$(started_as "$pid")" = "$1" ]; then marker=''; fi
  change_in_place "$pid" "$new/$project" "$marker" down
  case $answer in
  "failed: "*) kill_now "$pid" ;;
  *) runs "$pid" "$1" && alive "$pid" && return ;;
  esac
  say "$1 is started again, because it could not be put back in place: $answer"
  return 1
}

# explain_in_place FOLDER: prints how the running release would be upgraded in place to the one in the folder.
explain_in_place() {
  if ! pid=$(process_in_place); then
    say "cannot: the app does not run"
    exit 3
  fi
  change_in_place "$pid" "$1" '' explain
  case $answer in
  "could be"*) printf '%s\n' "$output" ;;
  *) say "$answer"; exit 3 ;;
  esac
}

# choose_at_boot: has systemd run the current release, and nothing else, unless it runs already. systemd starts the units next.
choose_at_boot() {
  if [ ! -d "$current" ]; then
    stop_releases
    fail "nothing is deployed in $deploy_dir; deploy it with: gatling deploy $project"
  fi
  release=$(realpath "$current")
  if running_pid "$(basename "$release")" >/dev/null; then return; fi
  make_live "$release" || say "$(basename "$release") $why"
  # What an interrupted deployment has left.
  stop_releases
  name_in_slot "$release" && true >"$file.now" || fail "cannot start: is the disk full? See: df -h $deploy_dir"
}

# run_in_unit SLOT: becomes the release of the slot, if it has one. One that has just died again waits first: the longer, the
# more often it has. The file SLOT.now ends this.
run_in_unit() {
  file=$(slot_file "$1")
  died=$(recent_deaths "$1")
  if [ "$died" -gt 1 ] && [ ! -e "$file.now" ]; then
    pause=$((1 << (died < 7 ? died - 1 : 6)))
    if [ "$pause" -gt "$calm_seconds" ]; then pause=$calm_seconds; fi
    say "it has died $died times within five minutes; starting it again in $pause s"
    begun=$(uptime)
    while [ ! -e "$file.now" ] && [ -e "$file" ] && [ $(($(uptime) - begun)) -lt "$pause" ]; do sleep 0.5; done
  fi
  rm -f "$file.now"
  read -r name 2>/dev/null <"$file" || exit 0
  echo $$ >"$file.pid"
  exec_release "$deploy_dir/releases/$name" "$file"
}

# recent_deaths SLOT: prints how often the release of the slot has died in the last five minutes.
recent_deaths() {
  read -r name 2>/dev/null <"$(slot_file "$1")"
  awk -v since=$(($(date +%s) - 300)) -v name="$name" '$1 > since && $2 == name { count++ } END { print count + 0 }' "$restarts" 2>/dev/null
}

# note_death SLOT: notes that the current release has died, if it ran in this unit.
note_death() {
  read -r name 2>/dev/null <"$(slot_file "$1")" && [ "$(readlink "$current")" = "releases/$name" ] && note_restart "$name"
  return 0
}

# note_restart RELEASE: notes that the release has died and is started again.
note_restart() {
  say "$1 does not run any more; starting it again"
  echo "$(date +%s) $1" >>"$restarts"
  tail -n 100 "$restarts" >"$restarts.new" && mv "$restarts.new" "$restarts"
}

# supervise: starts the current release again whenever it dies: after a second, or up to a minute if it dies often.
supervise() {
  # start_supervisor has the lock until it has written the file.
  lock
  exec 9>&-
  pause=1 last_start=0
  while is_supervisor && release=$(realpath "$current") && [ -d "$release" ]; do
    name=$(basename "$release")
    if pid=$(running_pid "$name"); then
      # systemd starts this one again.
      ! unit_slot "$pid" >/dev/null || return 0
      # One that was upgraded in place could start itself again, as the release that it was started as.
      looked=$(uptime)
      while alive "$pid" && [ "$current" -ef "$release" ]; do
        sleep 1
        if [ $(($(uptime) - looked)) -ge 10 ]; then
          runs "$pid" "$name" || break
          looked=$(uptime)
        fi
      done
      continue
    fi
    if other_is_in_charge; then
      sleep 1
      continue
    fi
    if [ $(($(uptime) - last_start)) -ge "$calm_seconds" ]; then pause=1; fi
    sleep "$pause"
    last_start=$(uptime) pause=$((pause * 2))
    if [ "$pause" -gt "$calm_seconds" ]; then pause=$calm_seconds; fi
    revive "$name" >>"$(log_of "$release")" 2>&1
  done
}

# other_is_in_charge: whether another release of the project runs that must not be stopped: a run in progress has started it,
# or visitors get it.
other_is_in_charge() {
  pid=$(running_pid) || return 1
  ! upgraded_to "$pid" >/dev/null || return 0
  [ "$(live_slot)" = "$(slot_of "$current")" ] || return 0
  [ -e "$run_lock" ] && ! flock -n "$run_lock" true
}

# revive RELEASE: starts the current release, if it still is this one, and still does not run.
revive() {
  lock
  if is_supervisor && [ "$(readlink "$current")" = "releases/$1" ] && ! running_pid "$1" >/dev/null && ! other_is_in_charge; then
    note_restart "$1"
    # In a subshell, which ends if it fails. What it says goes to the app's log, which need not be quoted there.
    (show_log() { :; }; supervise_afterwards() { :; }; start)
  fi
  exec 9>&-
}

# is_supervisor: whether this process is the supervisor that was started last.
is_supervisor() { read -r supervisor 2>/dev/null <"$supervisor_file" && [ "$supervisor" = $$ ]; }

# end_supervisor: ends the supervisor, with what it waits for. The caller holds the lock, so it is not starting a release. One
# that has only just been started sees that the file is gone.
end_supervisor() {
  rm -f "$supervisor_file"
  for pid in $(marked GATLING_SUPERVISOR); do kill -TERM "-$pid" 2>/dev/null; done
}

# start_supervisor: starts a supervisor, with this version of the script. The caller holds the lock.
start_supervisor() {
  trap - EXIT
  end_supervisor
  # systemd does this for what it runs. A release that was started before there were units runs without.
  if uses_units && { ! pid=$(running_pid "$(basename "$(readlink "$current")")") || unit_slot "$pid" >/dev/null; }; then return; fi
  if [ -d "$current" ]; then
    GATLING_DEPLOY_DIR=$deploy_dir setsid sh -c 'GATLING_SUPERVISOR=$$ exec "$0" supervise' "$script" \
      </dev/null >/dev/null 2>&1 9>&- &
    echo $! >"$supervisor_file"
  fi
}

# supervise_afterwards: has this script start a supervisor when it ends, also if it fails: the release may only have to wait
# for its database.
supervise_afterwards() { trap start_supervisor EXIT; }

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
start | stop | restart | force-reload | choose-at-boot | upgrade | start-beside | make-live | keep | in-place | explain-in-place)
  (umask 077 && mkdir -p "$deploy_dir/run")
  lock -w 600 || fail "another start, stop or upgrade has been running for ten minutes: find the process that has $deploy_dir/run/lock open"
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
  end_supervisor
  stop_releases
  say "stopped"
  ;;
supervise) supervise ;;
choose-at-boot) choose_at_boot ;;
run-in-unit) run_in_unit "$2" ;;
# The status of the release is in the environment.
ended-in-unit) [ "${SERVICE_RESULT:-success}" = success ] || note_death "$2" ;;
restart | force-reload) supervise_afterwards; stop_releases; start ;;
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
