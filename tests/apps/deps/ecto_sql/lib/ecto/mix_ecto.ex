defmodule Mix.Ecto do
  @moduledoc false

  @doc "The repos of the project, or of all apps of an umbrella, when its configuration is loaded."
  def repos do
    Mix.Task.run("app.config")
    apps = Map.keys(Mix.Project.apps_paths() || %{Mix.Project.config()[:app] => "."})

    case Enum.uniq(Enum.flat_map(apps, &Application.get_env(&1, :ecto_repos, []))) do
      [] ->
        Mix.shell().error(
          "warning: could not find Ecto repos in any of the apps: #{inspect(apps)}"
        )

        []

      repos ->
        repos
    end
  end
end
