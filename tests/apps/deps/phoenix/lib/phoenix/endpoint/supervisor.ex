defmodule Phoenix.Endpoint.Supervisor do
  @moduledoc false

  use Supervisor
  require Logger

  # How long a request that is under way may take when the server is stopped.
  @shutdown 15_000

  def start_link(endpoint), do: Supervisor.start_link(__MODULE__, endpoint, name: endpoint)

  @impl true
  def init(endpoint) do
    :persistent_term.put(endpoint, Application.get_env(endpoint.__otp_app__(), endpoint, []))
    Phoenix.Endpoint.Static.load_manifest(endpoint)
    Supervisor.init(if(serve?(endpoint), do: servers(endpoint), else: []), strategy: :one_for_one)
  end

  defp serve?(endpoint) do
    endpoint.config(:server, false) or Application.get_env(:phoenix, :serve_endpoints, false)
  end

  # Stopped in the reverse order: nobody new is let in, then those inside are waited for.
  defp servers(endpoint) do
    connections = Module.concat(endpoint, Connections)

    [
      {Task.Supervisor, name: connections},
      %{id: :listener, start: {__MODULE__, :start_listener, [endpoint, connections]}}
    ]
  end

  @doc false
  def start_listener(endpoint, connections) do
    http = endpoint.config(:http, [])
    ip = Keyword.get(http, :ip, {127, 0, 0, 1})
    port = Keyword.get(http, :port, 4000)
    family = if tuple_size(ip) == 8, do: :inet6, else: :inet

    options = [family, :binary, ip: ip, packet: :http_bin, active: false, reuseaddr: true]
    options = options ++ [nodelay: true, backlog: 1024]

    case :gen_tcp.listen(port, options) do
      {:ok, listener} ->
        where = "#{:inet.ntoa(ip)}:#{:inet.port(listener) |> elem(1)}"
        Logger.info("Running #{inspect(endpoint)} at #{where} (http)")

        Logger.info(
          "Access #{inspect(endpoint)} at #{endpoint.config(:url, [])[:scheme] || "http"}://#{endpoint.host()}"
        )

        pid = spawn_link(fn -> receive(do: (:go -> accept(listener, endpoint, connections))) end)
        :ok = :gen_tcp.controlling_process(listener, pid)
        send(pid, :go)
        {:ok, pid}

      {:error, reason} ->
        Logger.error("Failed to start listener on port #{port}: #{:inet.format_error(reason)}")
        {:error, reason}
    end
  end

  defp accept(listener, endpoint, connections) do
    {:ok, socket} = :gen_tcp.accept(listener)
    serve = fn -> receive(do: (:go -> Phoenix.Endpoint.Connection.serve(socket, endpoint))) end
    {:ok, pid} = Task.Supervisor.start_child(connections, serve, shutdown: @shutdown)
    # It fails when the client has gone, which the connection finds out too.
    _ = :gen_tcp.controlling_process(socket, pid)
    send(pid, :go)
    accept(listener, endpoint, connections)
  end
end
