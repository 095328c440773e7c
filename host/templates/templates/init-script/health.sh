
## Whether a release is healthy, and what it logs.

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

# become_healthy RELEASE_DIR: waits until the process $child answers, for $at_most seconds if that is set. If it does not, sets $why
# to the reason, and stops the process unless $keep is set.
become_healthy() {
  port=$(setting "$1" PORT) seconds=${at_most:-$(setting "$1" HEALTH_SECONDS)}
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

# log_of RELEASE_DIR: prints the path of the release's log.
log_of() {
  case $(slot_of "$1") in
  green) echo "$deploy_dir/log/$project-green.log" ;;
  *) echo "$deploy_dir/log/$project.log" ;;
  esac
}

# log_name RELEASE_DIR: prints where the release's log can be read.
log_name() {
  if uses_units; then echo "its log (journalctl -u $project@$(slot_of "$1"))"; else log_of "$1"; fi
}

# start_once_more: starts the apps of the release that has just failed once more, and prints why that fails: Erlang often ends
# before it has logged the reason.
start_once_more() {
  evaluate eval "$logged" 30 '
    [root, version] = for name <- ["RELEASE_ROOT", "RELEASE_VSN"], do: System.fetch_env!(name)
    {:ok, [{:release, _, _, apps}]} = [root, "releases", version, "*.rel"] |> Path.join() |> Path.wildcard() |> hd() |> :file.consult()
    starts? = fn app -> tuple_size(app) == 2 or elem(app, 2) not in [:load, :none] end

    fails? = fn app ->
      case Application.ensure_all_started(elem(app, 0)) do
        {:ok, _} -> false
        {:error, {name, why}} -> IO.puts("#{name} does not start: #{Application.format_error(why)}") == :ok
      end
    end

    apps |> Enum.filter(starts?) |> Enum.any?(fails?) || IO.puts("this time, they have started")'
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
  journalctl --quiet --no-pager --output cat --since "@$log_since" --unit "$project@$(slot_of "$logged")" 2>&1 ||
    echo "To let $(id -un) read the journal, as root: adduser $(id -un) systemd-journal"
}

show_log() {
  [ -z "$log_is_shown" ] || return 0
  lines=$(new_log)
  [ -n "$lines" ] || return 0
  echo "The last lines of $(log_name "$logged"):"
  printf '%s\n' "$lines" | tail -n 20 | sed 's/^/  /'
  case $lines in
  # This is how Elixir shows an exception.
  *"** ("*) ;;
  *"Runtime terminating during boot"* | *"Kernel pid terminated"*)
    echo "This does not say why. So its apps were started once more:"
    start_once_more | tail -n 20 | sed 's/^/  /'
    ;;
  esac
  if printf '%s\n' "$lines" | grep -q 'in use by another Erlang node'; then
    say "another app on this machine has the same node name. Choose another one: gatling config set $project RELEASE_NODE=${project}2@127.0.0.1"
  fi
}

# check_version RELEASE: fails if the node says that it runs another version than that of the release.
check_version() {
  find_release "$1"
  wanted=$(cut -d ' ' -f 2 "$new/$project/releases/start_erl.data")
  output=$(rpc "$(running_pid "$1")" "$new" 10 'IO.puts("gatling-version " <> to_string(elem(:init.script_id(), 1)))')
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
  # Nothing is starting any more.
  keep=keep at_most=10
  begin_log "$new"
  become_healthy "$new" || { show_log; fail "$1 $why"; }
}

# watch_errors RELEASE SECONDS: counts the errors that visitors get, and ends early if there are too many. Its last line says how
# many: see soak.exs.
watch_errors() {
  find_release "$1"
  percent=$(setting "$new" SOAK_ERRORS)
  rpc "$(running_pid "$1")" "$new" "$(($2 + 20))" "Code.eval_file($(in_elixir "$deploy_dir/soak.exs"))
    Gatling.Soak.watch($2, ${percent:-10})
    :code.delete(Gatling.Soak)
    :code.soft_purge(Gatling.Soak)"
}
