defmodule DBConnection.ConnectionError do
  @moduledoc false
  defexception [:message]
end

defmodule Postgrex.Error do
  @moduledoc false
  defexception [:message]
end

defmodule Ecto.Adapters.Postgres do
  @moduledoc """
  Runs SQL with `psql`.
  """

  @options ~w(--no-psqlrc --no-password --quiet --no-align --tuples-only --field-separator=\t --set=ON_ERROR_STOP=1)

  @doc "Runs SQL in the database of `config`, or in another one of the same server."
  def query(config, sql, database \\ nil) do
    arguments = @options ++ ["--dbname", URI.to_string(uri(config, database)), "--command", sql]
    env = [{"PGCONNECT_TIMEOUT", "5"}]

    case System.cmd("psql", arguments, env: env, stderr_to_stdout: true) do
      {output, 0} ->
        {:ok,
         %{rows: output |> String.split("\n", trim: true) |> Enum.map(&String.split(&1, "\t"))}}

      # What psql ends with when it has no connection.
      {output, 2} ->
        {:error, %DBConnection.ConnectionError{message: String.trim(output)}}

      {output, _} ->
        {:error, %Postgrex.Error{message: String.trim(output)}}
    end
  end

  @doc "Creates the database of `config`."
  def storage_up(config) do
    name = database(config)

    case query(config, "select 1 from pg_database where datname = '#{name}'", "postgres") do
      {:ok, %{rows: []}} -> create(config, name)
      {:ok, _rows} -> {:error, :already_up}
      error -> error
    end
  end

  defp create(config, name) do
    with {:ok, _} <- query(config, "create database \"#{name}\" encoding 'UTF8'", "postgres"),
         do: :ok
  end

  defp database(config), do: uri(config, nil).path |> String.trim_leading("/")

  # The URL, or what development has instead of one.
  defp uri(config, database) do
    url =
      config[:url] ||
        "ecto://#{config[:username]}:#{config[:password]}@#{config[:hostname]}/#{config[:database]}"

    uri = %{URI.parse(url) | scheme: "postgresql", authority: nil, query: nil}
    if database, do: %{uri | path: "/" <> database}, else: uri
  end
end
