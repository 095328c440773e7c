defmodule Mix.Tasks.Ecto.Create do
  @shortdoc "Creates the repository storage"
  @moduledoc "Creates the database of each repo, where there is none."

  use Mix.Task

  @impl true
  def run(_args) do
    for repo <- Mix.Ecto.repos() do
      case repo.__adapter__().storage_up(repo.config()) do
        :ok ->
          Mix.shell().info("The database for #{inspect(repo)} has been created")

        {:error, :already_up} ->
          Mix.shell().info("The database for #{inspect(repo)} has already been created")

        {:error, error} ->
          Mix.raise("The database for #{inspect(repo)} couldn't be created: #{error.message}")
      end
    end
  end
end
