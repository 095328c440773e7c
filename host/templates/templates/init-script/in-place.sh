
## Upgrades in place.

# change_in_place PID FOLDER MARKER up|down|explain: has the process upgrade itself to the release in the folder, and then keep the
# marker open. Sets $output to what it says, and $answer to the last line of that.
change_in_place() {
  runs_now=$deploy_dir/releases/$(release_of "$1")
  # The node keeps the module, because compiling it takes longer than the upgrade.
  text="file = $(in_elixir "$deploy_dir/in-place.exs")

    unless function_exported?(Gatling.InPlace, :is_from?, 1) and Gatling.InPlace.is_from?(file) do
      :code.purge(Gatling.InPlace)
      :code.delete(Gatling.InPlace)
      Code.eval_file(file)
    end

    Gatling.InPlace.run($(in_elixir "$runs_now/$project"), $(in_elixir "$2"), $(in_elixir "$(setting "$runs_now" PROGRAM)"),
      $(in_elixir "$deploy_dir/run/in-place"), $(in_elixir "$3"), :$4)"
  output=$(rpc "$1" "$runs_now" 120 "$text")
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
  *)
    instead=$(realpath "$current")
    kill_now "$pid"
    ;;
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
