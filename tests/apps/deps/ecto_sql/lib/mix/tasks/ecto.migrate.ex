defmodule Mix.Tasks.Ecto.Migrate do
  @shortdoc "Runs the repository migrations"
  @moduledoc "Runs the migrations of each repo that have not run."

  use Mix.Task

  @impl true
  def run(_args) do
    for repo <- Mix.Ecto.repos() do
      {:ok, _versions, _apps} =
        Ecto.Migrator.with_repo(repo, &Ecto.Migrator.run(&1, :up, all: true))
    end
  end
end
