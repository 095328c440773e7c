defmodule ShopWeb.Router do
  @moduledoc """
  What the shop answers to a method, a path and headers: a status, a type and a body, or
  `{:redirect, to}`.
  """

  alias ShopWeb.Endpoint

  @html "text/html; charset=utf-8"
  @text "text/plain; charset=utf-8"

  # How nginx passes requests on.
  def call("GET", "/headers", headers),
    do: {200, @text, Enum.map(headers, fn {name, value} -> "#{name}: #{value}\n" end)}

  def call(method, path, _headers) when method in ["GET", "HEAD"], do: route(path)
  def call(_method, _path, _headers), do: {405, @text, "only GET and HEAD\n"}

  defp route("/"), do: {200, @html, page()}
  defp route("/version"), do: {200, @text, "shop #{Shop.version()}\n"}

  defp route("/health") do
    case Shop.Repo.query("select 1") do
      {:ok, _result} -> {200, @text, "ok\n"}
      {:error, _exception} -> {500, @text, "the database does not answer\n"}
    end
  end

  defp route("/items"), do: {200, @text, Enum.map(Shop.items(), &[&1, "\n"])}

  # Takes so many milliseconds.
  defp route("/slow/" <> milliseconds) do
    Process.sleep(String.to_integer(milliseconds))
    {200, @text, "shop #{Shop.version()}\n"}
  end

  defp route(_path), do: {404, @text, "Not Found"}

  defp page do
    """
    <!DOCTYPE html>
    <html lang="en">
      <head>
        <meta charset="utf-8">
        <title>Shop #{Shop.version()}</title>
        <link rel="stylesheet" href="#{Endpoint.static_path("/assets/app.css")}">
        <script defer src="#{Endpoint.static_path("/assets/app.js")}"></script>
      </head>
      <body>
        <h1>Shop</h1>
        <p>Version <b id="version">#{Shop.version()}</b>, live: <b id="live">connecting</b></p>
        <p>The server said: <span id="echo"></span></p>
        <button id="ask">Ask the server</button>
      </body>
    </html>
    """
  end
end
