defmodule Hello.Listener do
  @moduledoc """
  Listens on a port of 127.0.0.1 and starts a `Hello.Connection` for every client.

  The port is bound before the listener counts as started: when it is taken, the app doesn't
  start, and the VM of a release exits with a status other than 0.
  """

  use GenServer

  # How long to wait for a client before looking at the mailbox.
  @accept_timeout 500

  @socket_options [
    :binary,
    ip: {127, 0, 0, 1},
    packet: :http_bin,
    active: false,
    reuseaddr: true,
    nodelay: true,
    backlog: 1024
  ]

  def start_link(options) do
    GenServer.start_link(__MODULE__, Keyword.fetch!(options, :port), name: __MODULE__)
  end

  @impl true
  def init(port) do
    case :gen_tcp.listen(port, @socket_options) do
      {:ok, listener} ->
        {:ok, listener, {:continue, :accept}}

      {:error, reason} ->
        {:stop, "can't listen on 127.0.0.1:#{port}: #{:inet.format_error(reason)}"}
    end
  end

  @impl true
  def handle_continue(:accept, listener), do: accept(listener)

  @impl true
  def handle_info(:accept, listener), do: accept(listener)

  defp accept(listener) do
    case :gen_tcp.accept(listener, @accept_timeout) do
      {:ok, socket} -> serve(socket)
      {:error, :timeout} -> :ok
      # The client went away before it was accepted.
      {:error, :econnaborted} -> :ok
    end

    send(self(), :accept)
    {:noreply, listener}
  end

  defp serve(socket) do
    {:ok, connection} =
      Task.Supervisor.start_child(Hello.Connections, Hello.Connection, :serve, [socket])

    # Fails when the connection is over already, and then there is nothing to hand over.
    _ = :gen_tcp.controlling_process(socket, connection)
  end
end
