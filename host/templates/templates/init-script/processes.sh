
## What runs.

# setting RELEASE_DIR NAME: prints a setting that gatling has stored for this release.
setting() { sed -n "s/^GATLING_$2='\([^']*\)'\$/\1/p" "$1/service.env" 2>/dev/null; }

# has PID VARIABLE: whether the environment of the process contains VARIABLE.
has() { grep -qszxF "$2" "/proc/$1/environ"; }

# variable PID NAME: prints the value of the variable in the environment of the process.
variable() { sed -zn "s/^$2=//p" "/proc/$1/environ" | tr -d '\0'; }

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
started_as() { variable "$1" GATLING_RELEASE; }

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
