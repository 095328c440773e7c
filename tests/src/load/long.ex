defmodule Hello.Long do
  @moduledoc """
  A page that takes thirty seconds, and a WebSocket that says the version to whoever sends a text of one letter.
  """

  @accept "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"

  def serve(socket, {:abs_path, "/stream"}, _headers) do
    line = "hello #{Hello.version()}\n"
    length = 30 * byte_size(line)

    # Otherwise nginx passes it on only when its buffer is full.
    send_text(socket, [
      "HTTP/1.1 200 OK\r\ncontent-length: #{length}\r\nconnection: close\r\n",
      "x-accel-buffering: no\r\n\r\n"
    ])

    stream(socket, line, 30)
  end

  def serve(socket, {:abs_path, "/socket"}, headers) do
    accept = :sha |> :crypto.hash(headers["Sec-Websocket-Key"] <> @accept) |> Base.encode64()

    send_text(socket, [
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n",
      "sec-websocket-accept: #{accept}\r\n\r\n"
    ])

    :ok = :inet.setopts(socket, packet: :raw)
    echo(socket)
  end

  # Both loops call themselves in a way that goes on with new code.
  def stream(socket, _line, 0), do: :gen_tcp.close(socket)

  def stream(socket, line, rest) do
    send_text(socket, line)
    Process.sleep(1_000)
    __MODULE__.stream(socket, line, rest - 1)
  end

  # A masked text of one letter has seven bytes.
  def echo(socket) do
    case :gen_tcp.recv(socket, 7, 60_000) do
      {:ok, <<0x81, 0x81, _mask::32, _letter>>} ->
        text = "hello #{Hello.version()}"
        send_text(socket, [<<0x81, byte_size(text)>>, text])
        __MODULE__.echo(socket)

      _ended ->
        :gen_tcp.close(socket)
    end
  end

  defp send_text(socket, text), do: _ = :gen_tcp.send(socket, text)
end
