defmodule Ecto.MigrationError do
  @moduledoc false
  defexception [:message]
end

defmodule Ecto.Migrator do
  @moduledoc """
  Runs migrations upwards, and notes them in the table schema_migrations.
  """

  require Logger

  @doc "Calls `fun` with a repo that is started, also where the app isn't."
  def with_repo(repo, fun, opts \\ []) do
    {:ok, apps} = Application.ensure_all_started(:ecto_sql)

    case repo.start_link(Keyword.take(opts, [:pool_size])) do
      {:ok, _pid} ->
        result = fun.(repo)
        repo.stop()
        {:ok, result, apps}

      {:error, {:already_started, _pid}} ->
        {:ok, fun.(repo), apps}
    end
  end

  @doc "Runs all migrations that have not run, and returns their versions."
  def run(repo, :up, opts) do
    unless opts[:all], do: raise(ArgumentError, "only `all: true` is known here")
    done = versions(repo)

    case Enum.reject(files(repo), fn {version, _name, _file} -> version in done end) do
      [] ->
        Logger.info("Migrations already up")
        []

      pending ->
        Enum.map(pending, &up(repo, &1))
    end
  end

  @doc "All migrations, with whether they have run: `[{:up, 20260101000000, \"create_items\"}]`."
  def migrations(repo) do
    done = versions(repo)
    files = files(repo)

    known =
      for {version, name, _file} <- files,
          do: {if(version in done, do: :up, else: :down), version, name}

    gone =
      for version <- done,
          not List.keymember?(files, version, 0),
          do: {:up, version, "** FILE NOT FOUND **"}

    Enum.sort_by(known ++ gone, &elem(&1, 1))
  end

  @doc "Where the migrations of `repo` are."
  def migrations_path(repo),
    do: Application.app_dir(repo.config()[:otp_app], "priv/repo/migrations")

  defp files(repo) do
    for file <- Enum.sort(Path.wildcard(migrations_path(repo) <> "/*.exs")),
        {version, "_" <> name} <- [Integer.parse(Path.basename(file, ".exs"))] do
      {version, name, file}
    end
  end

  defp versions(repo) do
    # No notice where it is there: it would be read as a row.
    repo.query!("""
    set client_min_messages = error;
    create table if not exists schema_migrations (version bigint primary key, inserted_at timestamp(0));
    """)

    for [version] <- repo.query!("select version from schema_migrations order by version").rows do
      String.to_integer(version)
    end
  end

  defp up(repo, {version, _name, file}) do
    [{module, _binary} | _] = Code.compile_file(file)
    function = Enum.find([:change, :up], &function_exported?(module, &1, 0))

    unless function,
      do: raise(Ecto.MigrationError, "#{inspect(module)} has neither change/0 nor up/0")

    Logger.info("== Running #{version} #{inspect(module)}.#{function}/0 forward")
    start = System.monotonic_time(:millisecond)
    commands = Ecto.Migration.commands(module, function)
    for command <- commands, do: Logger.info("execute #{inspect(command)}")
    transaction(repo, version, commands)
    seconds = Float.round((System.monotonic_time(:millisecond) - start) / 1000, 1)
    Logger.info("== Migrated #{version} in #{seconds}s")
    version
  end

  # Two that migrate at the same time wait for each other, and the second one fails.
  defp transaction(repo, version, commands) do
    note = "insert into schema_migrations values (#{version}, now() at time zone 'utc')"

    [
      "begin",
      "set local client_min_messages = error",
      "lock table schema_migrations in share row exclusive mode"
    ]
    |> Enum.concat([note | commands] ++ ["commit"])
    |> Enum.map_join(";\n", &String.trim_trailing(String.trim(&1), ";"))
    |> repo.query!()
  end
end
