for {app, repo} <- [REPOS] do
  :ok = with {:error, {:already_loaded, _}} <- Application.load(app), do: :ok

  {:ok, _, _} =
    Ecto.Migrator.with_repo(repo, fn repo ->
      undone = for {:up, version, name} <- Ecto.Migrator.migrations(repo), version >= OLDEST, do: "#{version} #{name}"
      for migration <- undone, do: IO.puts("#{inspect(repo)} undoes the migration #{migration}")
      if undone != [], do: Ecto.Migrator.run(repo, :down, to: OLDEST)
    end)
end
