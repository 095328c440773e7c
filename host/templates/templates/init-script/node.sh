
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

# rpc PID RELEASE_DIR SECONDS CODE: has the process, which runs the release, evaluate Elixir code, and prints what that prints. The
# exit status says nothing. If erl_call can do it, no second Erlang has to be started, which takes half a second.
rpc() {
  if can_call "$1" "$2"; then shift 2 && call_node "$@"; else shift && evaluate rpc "$@"; fi
}

# can_call PID RELEASE_DIR: whether erl_call, which is part of the release, can call the node. Sets variables for erl_call.
can_call() {
  [ -n "$1" ] || return
  program=$(echo "$2/$project"/erts-*/bin/erl_call)
  node='' cookie='' kind='' started='' epmd_port=4369
  while IFS= read -r line; do
    case $line in
    RELEASE_NODE=*) node=${line#*=} ;;
    RELEASE_COOKIE=*) cookie=${line#*=} ;;
    RELEASE_DISTRIBUTION=name) kind=-name ;;
    RELEASE_DISTRIBUTION=sname) kind=-sname ;;
    ERL_EPMD_PORT=?*) epmd_port=${line#*=} ;;
    GATLING_RELEASE=*) started=${line#*=} ;;
    esac
  done <<END
$(grep -szE '^(RELEASE_(NODE|COOKIE|DISTRIBUTION)|ERL_EPMD_PORT|GATLING_RELEASE)=' "/proc/$1/environ" | tr '\0' '\n')
END
  [ -x "$program" ] && [ -n "$node" ] && [ -n "$cookie" ] && [ -n "$kind" ] || return
  # An upgrade in place gives the node the cookie of the new release, but /proc still shows that of the old one.
  cmp -s "$deploy_dir/releases/$started/$project/releases/COOKIE" "$2/$project/releases/COOKIE" || return
  # erl_call cannot use TLS.
  if grep -qszx -e -proto_dist "/proc/$1/cmdline"; then return 1; fi
  [ "$(echo 'io:put_chars("reached").' | erl_call 5 "gatling$$-asks")" = reached ]
}

# erl_call SECONDS NAME: has the node evaluate the Erlang code of the standard input, and prints what that prints. NAME is that of
# erl_call's own node.
erl_call() {
  # Without stdbuf, what it has printed is lost if it is stopped.
  ERL_EPMD_PORT=$epmd_port timeout "$1" \
    stdbuf -oL "$program" "$kind" "$node" -c "$cookie" -h "$2" -fetch_stdout -no_result_term -e 2>&1 9>&-
}

# call_node SECONDS CODE: has the node evaluate Elixir code. If erl_call has gone away, the node ends this too: no upgrade must begin
# that nobody waits for.
call_node() {
  code=$(printf %s "$2" | base64 -w 0)
  said=$(erl_call "$1" "gatling$$" <<END
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
  )
  # It prints all the code if it loses the connection.
  printf '%s\n' "$said" | sed '/^erl_call: evaluating input failed/{s/.*/the connection to the node was lost/;q}'
}

# in_elixir TEXT: prints the text as a string of Elixir.
in_elixir() { printf '"%s"' "$(printf %s "$1" | sed 's/[\\"#]/\\&/g')"; }
