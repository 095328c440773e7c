defmodule Phoenix.Endpoint.WebSocket do
  @moduledoc """
  A WebSocket that echoes what it is sent, for pages of the origins that `:check_origin` allows.
  """

  require Logger

  # What RFC 6455 has every server add to the client's key.
  @guid "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

  @doc "Serves the WebSocket that `request` asks for. `respond` answers what is refused."
  def serve(%{endpoint: endpoint, headers: headers} = request, respond) do
    cond do
      headers["sec-websocket-key"] == nil ->
        respond.(%{request | keep?: false}, 400, "not a WebSocket request\n")

      allowed?(endpoint.config(:check_origin, true), headers["origin"], endpoint) ->
        handshake(request)
        # Nothing is under way: a server that stops doesn't wait for this.
        Process.flag(:trap_exit, false)
        loop(request.socket)

      true ->
        Logger.error("""
        Could not check origin for Phoenix.Socket transport.

        Origin of the request: #{headers["origin"]}

        The endpoint's url host is #{endpoint.host()}, and its check_origin is
        #{inspect(endpoint.config(:check_origin, true))}.
        """)

        respond.(%{request | keep?: false}, 403, "Forbidden")
    end
  end

  defp allowed?(false, _origin, _endpoint), do: true
  defp allowed?(_check, nil, _endpoint), do: true
  defp allowed?(true, origin, endpoint), do: URI.parse(origin).host == endpoint.host()

  defp allowed?(patterns, origin, _endpoint) when is_list(patterns) do
    origin = URI.parse(origin)
    Enum.any?(patterns, &matches?(URI.parse(&1), origin))
  end

  # What the pattern doesn't say may be anything. "//www.example.com" has neither scheme nor port.
  defp matches?(pattern, origin) do
    (pattern.scheme == nil or pattern.scheme == origin.scheme) and
      (pattern.port == nil or pattern.port == origin.port) and host?(pattern.host, origin.host)
  end

  defp host?("*." <> domain, host), do: String.ends_with?(host, "." <> domain)
  defp host?(pattern, host), do: pattern == host

  defp handshake(request) do
    accept = Base.encode64(:crypto.hash(:sha, request.headers["sec-websocket-key"] <> @guid))

    :gen_tcp.send(request.socket, [
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\n",
      "sec-websocket-accept: #{accept}\r\n\r\n"
    ])
  end

  # Frames of a client are masked, and here none is split or longer than 64 KB.
  defp loop(socket) do
    with {:ok, <<1::1, 0::3, opcode::4, 1::1, length::7>>} <- :gen_tcp.recv(socket, 2),
         {:ok, length} <- length(socket, length),
         {:ok, mask} <- :gen_tcp.recv(socket, 4),
         {:ok, masked} <- payload(socket, length),
         :ok <- handle(socket, opcode, unmask(masked, mask)) do
      loop(socket)
    else
      _ -> :close
    end
  end

  defp length(socket, 126),
    do: with({:ok, <<length::16>>} <- :gen_tcp.recv(socket, 2), do: {:ok, length})

  defp length(_socket, 127), do: :too_long
  defp length(_socket, length), do: {:ok, length}

  defp payload(_socket, 0), do: {:ok, ""}
  defp payload(socket, length), do: :gen_tcp.recv(socket, length)

  defp unmask(masked, mask) do
    :crypto.exor(
      masked,
      binary_part(String.duplicate(mask, div(byte_size(masked), 4) + 1), 0, byte_size(masked))
    )
  end

  # Text comes back, a ping is answered, and a close is confirmed.
  defp handle(socket, 1, text), do: frame(socket, 1, text)
  defp handle(socket, 9, data), do: frame(socket, 10, data)

  defp handle(socket, 8, data) do
    frame(socket, 8, data)
    :close
  end

  defp handle(_socket, _opcode, _data), do: :ok

  defp frame(socket, opcode, data) when byte_size(data) < 126 do
    :gen_tcp.send(socket, [<<8::4, opcode::4, byte_size(data)>>, data])
  end

  defp frame(socket, opcode, data) do
    :gen_tcp.send(socket, [<<8::4, opcode::4, 126, byte_size(data)::16>>, data])
  end
end
