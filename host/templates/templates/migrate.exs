for {app, repo} <- [REPOS] do
  :ok = with {:error, {:already_loaded, _}} <- Application.load(app), do: :ok

  {:ok, _, _} =
    Ecto.Migrator.with_repo(repo, fn repo ->
      pending = for {:down, version, name} <- Ecto.Migrator.migrations(repo), do: "#{version} #{name}"
      if pending == [], do: IO.puts("#{inspect(repo)} has no migration to run")
      for migration <- pending, do: IO.puts("#{inspect(repo)} has a pending migration: #{migration}")
      Ecto.Migrator.run(repo, :up, all: true)
    end)
end
