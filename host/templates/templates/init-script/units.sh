
## systemd's units.

# uses_units: whether systemd runs the releases, each in the unit of its slot. It then also starts those again that die.
uses_units() { [ -n "$unit" ] && [ -f "$unit" ] && [ -d /run/systemd/system ]; }

# as_root COMMAND...: runs a command as root. The sudo rule of the project allows it.
as_root() { if [ "$(id -u)" = 0 ]; then "$@"; else sudo -n "$@"; fi; }

# slot_file SLOT: prints the path of the file that names the release which systemd runs in the slot. Without the file, it runs
# nothing there.
slot_file() { echo "$deploy_dir/run/$1"; }

# unit_slot PID: prints the slot in whose unit the process runs.
unit_slot() {
  for slot in blue green; do
    if grep -qsF "/$project@$slot.service" "/proc/$1/cgroup"; then echo "$slot"; return; fi
  done
  return 1
}

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
  cat "$restarts" 2>/dev/null |
    awk -v now="$(date +%s)" -v name="$name" \
      '$1 > now - 300 && $1 <= now && $2 == name { count++ } END { print count + 0 }'
}

# end_children SLOT: ends what the release of the slot has left running, except epmd, which all apps share.
end_children() {
  for file in $(grep -lsF "/$project@$1.service" /proc/[0-9]*/cgroup); do
    pid=${file#/proc/} pid=${pid%/cgroup}
    if [ "$pid" != $$ ] && ! grep -qsx epmd "/proc/$pid/comm"; then kill -KILL "$pid" 2>/dev/null; fi
  done
}

# note_death SLOT: notes that the current release has died, if it ran in this unit.
note_death() {
  read -r name 2>/dev/null <"$(slot_file "$1")" && [ "$(readlink "$current")" = "releases/$name" ] && note_restart "$name"
  return 0
}
