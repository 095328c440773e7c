defmodule Phoenix.Endpoint.Connection do
  @moduledoc """
  Answers the requests of one client, one after the other.
  """

  require Logger

  alias Phoenix.Endpoint.{Static, WebSocket}

  @idle_timeout 60_000
  @timeout 15_000

  # The largest body that is taken, as Plug's parsers have it.
  @body_limit 8_000_000
  @chunk 65_536

  @reasons %{
    200 => "OK",
    301 => "Moved Permanently",
    302 => "Found",
    307 => "Temporary Redirect",
    400 => "Bad Request",
    403 => "Forbidden",
    404 => "Not Found",
    405 => "Method Not Allowed",
    411 => "Length Required",
    413 => "Request Entity Too Large",
    500 => "Internal Server Error",
    503 => "Service Unavailable"
  }

  @doc "Serves `socket`, which is passive and in the packet mode `:http_bin`."
  def serve(socket, endpoint) do
    with {:ok, {:http_request, method, {:abs_path, target}, version}} <-
           :gen_tcp.recv(socket, 0, @idle_timeout),
         # When the server is stopped, a connection that waits ends at once, and one that answers
         # ends afterwards.
         Process.flag(:trap_exit, true),
         {:ok, headers} <- headers(socket, %{}) do
      request = %{
        socket: socket,
        endpoint: endpoint,
        method: to_string(method),
        path: target |> String.split("?", parts: 2) |> hd(),
        headers: headers,
        keep?: keep_alive?(version, headers)
      }

      if answer(request) == :keep and not stopping?() do
        Process.flag(:trap_exit, false)
        :inet.setopts(socket, packet: :http_bin)
        serve(socket, endpoint)
      end
    else
      {:ok, _other} ->
        respond(%{socket: socket, method: "GET", keep?: false}, 400, "bad request\n")

      {:error, _reason} ->
        :close
    end

    :gen_tcp.close(socket)
  end

  defp stopping? do
    receive do
      {:EXIT, _pid, _reason} -> true
    after
      0 -> false
    end
  end

  defp headers(socket, headers) do
    case :gen_tcp.recv(socket, 0, @timeout) do
      {:ok, {:http_header, _, name, _, value}} ->
        headers(socket, Map.put(headers, name |> to_string() |> String.downcase(), value))

      {:ok, :http_eoh} ->
        :inet.setopts(socket, packet: :raw)
        {:ok, headers}

      other ->
        other
    end
  end

  defp keep_alive?(version, headers) do
    connection = String.downcase(headers["connection"] || "")
    if version == {1, 1}, do: connection != "close", else: connection == "keep-alive"
  end

  defp answer(%{endpoint: endpoint, path: path} = request) do
    socket = Enum.find(endpoint.__sockets__(), fn {at, _module, _opts} -> at == path end)

    case {redirect(request), socket, file(request)} do
      # Without reading its body, where it has one: the next request would be behind that.
      {{status, location}, _, _} ->
        respond(%{request | keep?: false}, status, "", [{"location", location}])

      {nil, {_path, _module, _opts}, _} ->
        WebSocket.serve(request, &respond/3)

      {nil, nil, {type, content}} ->
        respond(request, 200, content, [{"content-type", type}])

      {nil, nil, nil} ->
        logged(request)
    end
  end

  defp file(%{method: method} = request) when method in ["GET", "HEAD"] do
    Static.find(request.endpoint, request.path)
  end

  defp file(_request), do: nil

  # As Plug.SSL does it: by what the proxy says of the request, not by this connection.
  defp redirect(%{endpoint: endpoint, headers: headers} = request) do
    options = endpoint.__force_ssl__() || nil
    host = headers |> Map.get("host", "") |> String.split(":") |> hd()

    cond do
      options == nil ->
        nil

      host in excluded(options[:exclude]) ->
        nil

      :x_forwarded_proto in (options[:rewrite_on] || []) and
          headers["x-forwarded-proto"] == "https" ->
        nil

      request.method in ["GET", "HEAD"] ->
        {301, "https://#{endpoint.host()}#{request.path}"}

      true ->
        {307, "https://#{endpoint.host()}#{request.path}"}
    end
  end

  defp excluded(nil), do: ["localhost"]
  defp excluded([{_, _} | _] = options), do: Keyword.get(options, :hosts, [])
  defp excluded(hosts), do: hosts

  defp logged(request) do
    Logger.info("#{request.method} #{request.path}")
    route(Map.put(request, :start, System.monotonic_time(:millisecond)))
  end

  defp route(%{endpoint: endpoint} = request) do
    if byte_size(endpoint.config(:secret_key_base, "")) < 64 do
      Logger.error("the session needs secret_key_base to be at least 64 bytes")
      respond(%{request | keep?: false}, 500, "Internal Server Error")
    else
      body(request, &dispatch(request, &1))
    end
  end

  defp dispatch(%{method: "POST", path: "/upload"} = request, size),
    do: respond(request, 200, "#{size}\n")

  defp dispatch(request, _size) do
    {router, _opts} = List.last(request.endpoint.__plugs__())

    try do
      router.call(request.method, request.path, request.headers)
    rescue
      error ->
        Logger.error(Exception.format(:error, error, __STACKTRACE__))
        respond(request, 500, "Internal Server Error")
    else
      {status, type, body} -> respond(request, status, body, [{"content-type", type}])
      {:redirect, to} -> respond(request, 302, "", [{"location", to}])
    end
  end

  # Reads the body, and goes on with its size.
  defp body(%{headers: %{"transfer-encoding" => _}} = request, _go_on) do
    respond(%{request | keep?: false}, 411, "say how long the body is\n")
  end

  defp body(request, go_on) do
    size = request.headers |> Map.get("content-length", "0") |> String.to_integer()

    if String.downcase(request.headers["expect"] || "") == "100-continue" do
      :gen_tcp.send(request.socket, "HTTP/1.1 100 Continue\r\n\r\n")
    end

    # A body that is too large is read too: a client that is still sending may miss the answer.
    case skip(request.socket, size) do
      :ok when size > @body_limit ->
        respond(%{request | keep?: false}, 413, "Request Entity Too Large")

      :ok ->
        go_on.(size)

      {:error, _reason} ->
        :close
    end
  end

  defp skip(_socket, 0), do: :ok

  defp skip(socket, size) do
    case :gen_tcp.recv(socket, min(size, @chunk), @timeout) do
      {:ok, chunk} -> skip(socket, size - byte_size(chunk))
      error -> error
    end
  end

  defp respond(request, status, body, headers \\ [{"content-type", "text/plain; charset=utf-8"}]) do
    keep = if request.keep?, do: "keep-alive", else: "close"
    headers = headers ++ [{"content-length", IO.iodata_length(body)}, {"connection", keep}]

    head = [
      "HTTP/1.1 #{status} #{@reasons[status]}\r\n",
      Enum.map(headers, fn {name, value} -> "#{name}: #{value}\r\n" end),
      "\r\n"
    ]

    sent =
      :gen_tcp.send(request.socket, if(request.method == "HEAD", do: head, else: [head, body]))

    if start = request[:start] do
      Logger.info("Sent #{status} in #{System.monotonic_time(:millisecond) - start}ms")
    end

    if sent == :ok and request.keep?, do: :keep, else: :close
  end
end
