defmodule Hello.Connection do
  @moduledoc """
  Answers the requests of one client, one after the other, until either side has had enough.
  """

  @idle_timeout 60_000
  @header_timeout 5_000

  @reasons %{200 => "OK", 400 => "Bad Request", 404 => "Not Found", 405 => "Method Not Allowed"}

  @doc "Serves `socket`, which is passive and in the packet mode `:http_bin`, and closes it."
  def serve(socket) do
    case :gen_tcp.recv(socket, 0, @idle_timeout) do
      {:ok, {:http_request, method, target, version}} -> request(socket, method, target, version)
      {:ok, {:http_error, _line}} -> refuse(socket)
      {:error, _reason} -> :gen_tcp.close(socket)
    end
  end

  defp request(socket, method, target, version) do
    case headers(socket, %{}) do
      {:ok, headers} ->
        keep? = skip_body(socket, headers) == :ok and keep_alive?(version, headers)
        {status, body} = Hello.Router.call(method, path(target))
        respond(socket, status, body, keep?, method)
        if keep?, do: serve(socket), else: :gen_tcp.close(socket)

      :error ->
        refuse(socket)
    end
  end

  defp refuse(socket) do
    respond(socket, 400, "bad request\n", false, :GET)
    :gen_tcp.close(socket)
  end

  defp headers(socket, headers) do
    case :gen_tcp.recv(socket, 0, @header_timeout) do
      {:ok, {:http_header, _, name, _, value}} ->
        headers(socket, Map.put(headers, name, String.downcase(value)))

      {:ok, :http_eoh} ->
        {:ok, headers}

      _error ->
        :error
    end
  end

  defp path({:abs_path, target}), do: target |> String.split("?", parts: 2) |> hd()
  defp path({:absoluteURI, _scheme, _host, _port, target}), do: path({:abs_path, target})
  defp path(_other), do: "*"

  defp keep_alive?({1, 1}, %{Connection: "close"}), do: false
  defp keep_alive?({1, 1}, _headers), do: true
  defp keep_alive?(_version, headers), do: headers[:Connection] == "keep-alive"

  # No route reads a body, but the next request comes after it.
  defp skip_body(_socket, %{"Transfer-Encoding": _}), do: :error

  defp skip_body(socket, headers) do
    case Integer.parse(Map.get(headers, :"Content-Length", "0")) do
      {length, ""} ->
        :ok = :inet.setopts(socket, packet: :raw)
        result = skip(socket, length)
        :ok = :inet.setopts(socket, packet: :http_bin)
        result

      _ ->
        :error
    end
  end

  defp skip(_socket, 0), do: :ok

  defp skip(socket, length) do
    case :gen_tcp.recv(socket, min(length, 65_536), @header_timeout) do
      {:ok, part} -> skip(socket, length - byte_size(part))
      error -> error
    end
  end

  defp respond(socket, status, body, keep?, method) do
    head = [
      "HTTP/1.1 #{status} #{@reasons[status]}\r\n",
      "content-type: text/plain; charset=utf-8\r\n",
      "content-length: #{byte_size(body)}\r\n",
      "connection: #{if keep?, do: "keep-alive", else: "close"}\r\n\r\n"
    ]

    # The client may be gone; the next read finds that out.
    _ = :gen_tcp.send(socket, if(method == :HEAD, do: head, else: [head, body]))
  end
end
