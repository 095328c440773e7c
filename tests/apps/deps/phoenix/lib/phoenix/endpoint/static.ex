defmodule Phoenix.Endpoint.Static do
  @moduledoc """
  The files of priv/static, and the manifest that `mix phx.digest` writes of them.
  """

  require Logger

  @types %{
    ".css" => "text/css",
    ".html" => "text/html",
    ".ico" => "image/x-icon",
    ".js" => "text/javascript",
    ".json" => "application/json",
    ".svg" => "image/svg+xml",
    ".txt" => "text/plain"
  }

  @doc "The type and the content of the file at `path`, if `plug Plug.Static` has it served."
  def find(endpoint, path) do
    with {_plug, opts} <- List.keyfind(endpoint.__plugs__(), Plug.Static, 0),
         [first | _] = parts <- Enum.map(Path.split(path) -- ["/"], &URI.decode/1),
         true <- first in opts[:only] and ".." not in parts,
         file = Path.join(root(opts[:from]), Path.join(parts)),
         true <- File.regular?(file) do
      {Map.get(@types, Path.extname(file), "application/octet-stream"), File.read!(file)}
    else
      _ -> nil
    end
  end

  @doc "The path to link to for the file at `path`."
  def path(endpoint, "/" <> name = path) do
    case :persistent_term.get({__MODULE__, endpoint}, %{}) do
      %{^name => digested} -> "/" <> digested <> "?vsn=d"
      _ -> path
    end
  end

  @doc "Reads the manifest that `:cache_static_manifest` names."
  def load_manifest(endpoint) do
    manifest = endpoint.config(:cache_static_manifest)
    file = manifest && Application.app_dir(endpoint.__otp_app__(), manifest)

    cond do
      file == nil ->
        :ok

      File.regular?(file) ->
        # One line for each file, as the task writes it.
        pairs =
          Regex.scan(~r/^  *"([^"]+)": "([^"]+)",?$/m, File.read!(file), capture: :all_but_first)

        :persistent_term.put({__MODULE__, endpoint}, Map.new(pairs, &List.to_tuple/1))

      true ->
        Logger.error("Could not find static manifest at #{inspect(file)}: run \"mix phx.digest\"")
    end
  end

  defp root(app), do: Application.app_dir(app, "priv/static")
end
