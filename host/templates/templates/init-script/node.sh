
## Elixir code that releases evaluate.

# evaluate rpc|eval RELEASE_DIR SECONDS CODE: has the running release, or with `eval` another process, evaluate Elixir code.
evaluate() {
  (
    set -a
    PHX_SERVER=true PHX_HOST=$(setting "$2" HOST)
    RELEASE_DISTRIBUTION=name RELEASE_NODE=$project@127.0.0.1 ERL_EPMD_ADDRESS=127.0.0.1
    ERL_AFLAGS='-kernel inet_dist_use_interface {127,0,0,1}'
    set -- "$1" "$2/$project/bin/$(setting "$2" PROGRAM)" "$3" "$4" "$(setting "$2" PORT)" "$2/.env"
    # Releases that an older gatling has deployed have no .env of their own.
    [ -f "$6" ] || set -- "$1" "$2" "$3" "$4" "$5" "$deploy_dir/.env"
    if [ -f "$6" ]; then . "$6"; fi
    PORT=$5
    # Another process must not take the port of the one that serves.
    if [ "$1" = eval ]; then PORT=0; fi
    set +a
    if [ "$1" = eval ]; then unset PHX_SERVER; fi
    if [ "$1" = rpc ] && [ "$RELEASE_DISTRIBUTION" = none ]; then
      echo 'nothing can connect to it, because of RELEASE_DISTRIBUTION=none'
      exit 1
    fi
    exec timeout "$3" "$2" "$1" "$4" </dev/null 2>&1 9>&-
  )
}

# rpc RELEASE_DIR SECONDS CODE: has the running release evaluate Elixir code, and prints what that prints. If erl_call can do it,
# no Erlang must be started for it, which takes half a second.
rpc() {
  if can_call "$1"; then call_node "$2" "$3"; else evaluate rpc "$@"; fi
}

# can_call RELEASE_DIR: whether erl_call, which is part of the release, can call the running node. Sets variables for erl_call.
can_call() {
  called=$(running_pid "$(basename "$1")") || return
  program=$(echo "$1/$project"/erts-*/bin/erl_call)
  node=$(variable "$called" RELEASE_NODE) cookie=$(variable "$called" RELEASE_COOKIE)
  [ -x "$program" ] && [ -n "$node" ] && [ -n "$cookie" ] || return
  case $(variable "$called" RELEASE_DISTRIBUTION) in
  name) kind=-name ;;
  sname) kind=-sname ;;
  *) return 1 ;;
  esac
  # An upgrade in place gives the node the cookie of the new release, but its environment stays.
  started=$deploy_dir/releases/$(started_as "$called")
  cmp -s "$started/$project/releases/COOKIE" "$1/$project/releases/COOKIE" || return
  # erl_call cannot use TLS.
  if grep -qszx -e -proto_dist "/proc/$called/cmdline"; then return 1; fi
  [ "$(echo 'io:put_chars("reached").' | erl_call 5 "gatling$$-asks")" = reached ]
}

# erl_call SECONDS NAME: has the node evaluate the Erlang code of the standard input, and prints what that prints. NAME is that of
# erl_call's own node.
erl_call() {
  (
    ERL_EPMD_PORT=$(variable "$called" ERL_EPMD_PORT)
    export ERL_EPMD_PORT="${ERL_EPMD_PORT:-4369}"
    # Without stdbuf, what it has printed is lost if it is stopped.
    exec timeout "$1" stdbuf -oL "$program" "$kind" "$node" -c "$cookie" -h "$2" -fetch_stdout -no_result_term -e 2>&1 9>&-
  )
}

# call_node SECONDS CODE: has the node evaluate Elixir code. If erl_call is stopped, the node stops this too.
call_node() {
  code=$(printf %s "$2" | base64 -w 0)
  erl_call "$1" "gatling$$" <<END
    Self = self(),
    [Caller] = [Node || Node <- nodes(hidden), lists:prefix("gatling$$@", atom_to_list(Node))],
    spawn(fun() ->
      monitor_node(Caller, true),
      Monitor = monitor(process, Self),
      receive {nodedown, Caller} -> exit(Self, kill); {'DOWN', Monitor, _, _, _} -> ok end
    end),
    try 'Elixir.Code':eval_string(base64:decode("$code"))
    catch Kind:Reason:Trace -> io:put_chars('Elixir.Exception':format(Kind, Reason, Trace)) end.
END
}

# in_elixir TEXT: prints the text as a string of Elixir.
in_elixir() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"#]/\\&/g')"; }
