
## systemd's units.
#
# Each slot has up to three files in the folder run:
#   SLOT      the release that systemd runs in the unit of the slot. Without the file, it runs nothing there. Who stops a release
#             removes it first (withdraw), because systemd starts again whatever ends.
#   SLOT.now  who has a release started makes it; the unit removes it. Without it, systemd starts by itself what has ended.
#   SLOT.pid  who has a release started removes it; the unit writes its pid and the release to it once it has read SLOT.

# uses_units: whether systemd runs the releases, each in the unit of its slot. It then also starts those again that die.
uses_units() { [ -n "$unit" ] && [ -f "$unit" ] && [ -d /run/systemd/system ]; }

# as_root COMMAND...: runs a command as root. The sudo rule of the project allows it.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# may_start SLOT: whether this user may have systemd start the unit of the slot.
may_start() { ! uses_units || [ "$(id -u)" = 0 ] || sudo -n -l service "$project@$1" start >/dev/null 2>&1 </dev/null; }

# check_rights RELEASE_DIR: fails if systemd could not be told to start the release: before anything is stopped.
check_rights() {
  may_start "$(slot_of "$1")" || fail "nothing was changed, because $(not_allowed)"
}

# not_allowed: prints what sudo does not allow, and what to do about it.
not_allowed() {
  printf '%s\n' "sudo does not let $(id -un) start the units. As root: $sudo_rule"
}

# slot_file SLOT: prints the path of the slot's file.
slot_file() { echo "$deploy_dir/run/$1"; }

# unit_slot PID: prints the slot in whose unit the process runs.
unit_slot() {
  for slot in blue green; do
    if grep -qsF "/$project@$slot.service" "/proc/$1/cgroup"; then echo "$slot"; return; fi
  done
  return 1
}

# withdraw SLOT: has systemd run nothing in the slot from now on. But if there is an $instead, the folder of a release of this
# slot, it runs that: it starts it by itself when what runs there has ended.
withdraw() {
  uses_units || return 0
  if [ -n "$instead" ] && [ "$(slot_of "$instead")" = "$1" ]; then
    # That is no death.
    name_in_slot "$instead" && true >"$file.now"
  else
    rm -f "$(slot_file "$1")"
  fi
}

# withdraw_from PID: does this for the slot in whose unit the process runs.
withdraw_from() {
  if unit_of_process=$(unit_slot "$1"); then withdraw "$unit_of_process"; fi
}

# name_in_slot RELEASE_DIR: has systemd run the release in the unit of its slot from now on.
name_in_slot() {
  file=$(slot_file "$(slot_of "$1")")
  # If the disk is full, a file that is right already stays.
  grep -qsxF "$(basename "$1")" "$file" || { basename "$1" >"$file.new" && mv "$file.new" "$file"; }
}

# start_unit RELEASE_DIR: has systemd start the release in the unit of its slot. Sets $child to its pid. If that fails, sets $why.
start_unit() {
  slot=$(slot_of "$1") name=$(basename "$1")
  rm -f "$(slot_file "$slot").pid"
  if ! name_in_slot "$1" || ! true >"$file.now"; then
    why="cannot start: is the disk full? See: df -h $deploy_dir"
    return 1
  fi
  if ! output=$(as_root service "$project@$slot" start 2>&1 </dev/null 9>&-); then
    why="cannot be started by systemd: $output"
    may_start "$slot" || why="cannot be started: $(not_allowed)"
    return 1
  fi
  begun=$(uptime)
  # One that systemd has just started by itself may be there first.
  until read -r child started 2>/dev/null <"$file.pid" && [ "$started" = "$name" ]; do
    end_others_in "$slot" "$name"
    if [ $(($(uptime) - begun)) -ge 10 ]; then
      why="was not started by systemd. See: systemctl status $project@$slot"
      return 1
    fi
    sleep 0.05
  done
}

# end_others_in SLOT RELEASE: kills other releases in the unit of the slot: systemd may just have started one again.
end_others_in() {
  for other in $(pids); do
    # It cannot be read while a program replaces another one.
    other_release=$(started_as "$other" 2>/dev/null)
    if [ "$(unit_slot "$other")" = "$1" ] && [ -n "$other_release" ] && [ "$other_release" != "$2" ]; then
      kill -KILL "$other" 2>/dev/null
    fi
  done
}

# choose_at_boot: has systemd run the current release, and nothing else, unless it runs already. systemd starts the units next.
choose_at_boot() {
  if [ ! -d "$current" ]; then
    # But not what a first deployment in progress starts.
    [ -n "$is_unlocked" ] || stop_releases
    fail "nothing is deployed in $deploy_dir; deploy it with: gatling deploy $project"
  fi
  release=$(realpath "$current")
  if running_pid "$(basename "$release")" >/dev/null; then return; fi
  make_live "$release" || say "$(basename "$release") $why"
  # What an interrupted deployment has left; but not what a deployment in progress starts.
  if [ -z "$is_unlocked" ]; then
    instead=$release
    stop_releases
  fi
  name_in_slot "$release" || fail "cannot start: is the disk full? See: df -h $deploy_dir"
  true >"$file.now" || say "the disk is full: df -h $deploy_dir"
}

# run_in_unit SLOT: becomes the release of the slot, if it has one. Without the file SLOT.now, systemd starts it again because it
# has ended: then this is the current release, if the slot is its own. If that happens again and again, this waits before each
# start; the file ends this.
run_in_unit() {
  file=$(slot_file "$1")
  if [ ! -e "$file.now" ] && read -r name 2>/dev/null <"$file"; then
    if [ -d "$current" ] && [ "$(slot_of "$current")" = "$1" ]; then
      name=$(basename "$(realpath "$current")")
      name_in_slot "$deploy_dir/releases/$name"
    fi
    note_restart "$name"
    died=$(recent_deaths "$name")
    if [ "$died" -gt 1 ]; then
      pause=$((1 << (died < 7 ? died - 1 : 6)))
      if [ "$pause" -gt "$calm_seconds" ]; then pause=$calm_seconds; fi
      say "it has died $died times within five minutes; starting it again in $pause s"
      begun=$(uptime)
      while [ ! -e "$file.now" ] && [ -e "$file" ] && [ $(($(uptime) - begun)) -lt "$pause" ]; do sleep 0.5; done
    fi
  fi
  rm -f "$file.now"
  read -r name 2>/dev/null <"$file" || exit "$nothing_to_run"
  echo "$$ $name" >"$file.pid"
  exec_release "$deploy_dir/releases/$name" "$file"
}

# recent_deaths RELEASE: prints how often the release has died in the last five minutes.
recent_deaths() {
  cat "$restarts" 2>/dev/null |
    awk -v now="$(date +%s)" -v name="$1" \
      '$1 > now - 300 && $1 <= now && $2 == name { count++ } END { print count + 0 }'
}

# end_children SLOT: ends what the release of the slot has left running, except epmd, which all apps share.
end_children() {
  for file in $(grep -lsF "/$project@$1.service" /proc/[0-9]*/cgroup); do
    pid=${file#/proc/} pid=${pid%/cgroup}
    if [ "$pid" != $$ ] && ! grep -qsx epmd "/proc/$pid/comm"; then kill -KILL "$pid" 2>/dev/null; fi
  done
  # An error means that it has ended.
  return 0
}
