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
# The command by which root lets the user who deploys do what deployments need.
sudo_rule={{ sudo_rule | sh }}
stop_seconds=30
# A release that has run for this time counts as stable again.
calm_seconds=60
# The exit status by which systemd knows that a slot has nothing to run, and not to try again.
nothing_to_run=77
# The release that systemd is to run in its slot once what runs there has ended: see withdraw.
instead=''
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

# The app and its files belong to the user who deployed it.
if [ "$(id -u)" != "$uid" ]; then
  [ "$(id -u)" = 0 ] || fail "only root and the user with the id $uid may do this. Use: sudo service $project $*"
  setpriv --reuid "$uid" --regid "$gid" --init-groups "$0" "$@" || exit
  tell_systemd "$1"
  exit 0
fi
export HOME="$home"
cd "$deploy_dir" || fail "cannot enter $deploy_dir: deploy the project again with: gatling deploy $project"
