# What Gatling has to know of a project, told by a mix task that it brings along. Each line is read
# by host/src/mix.rs; whatever else the project prints is passed over.
defmodule Mix.Tasks.Gatling.Facts do
  @moduledoc false

  # A task with its arguments is done in the same start of mix, when Gatling says so.
  def run(task) do
    tell_project(Mix.Project.config())

    # Without their code on the path, the tasks of dependencies can't be found.
    Mix.Task.run("loadpaths", ["--no-elixir-version-check", "--no-deps-check", "--no-archives-check"])
    own = Path.join(:code.lib_dir(:mix), "ebin")
    # Of mix's own, which are many, the names tell enough: to load them takes longer than the rest.
    for "Elixir.Mix.Tasks." <> _ = file <- File.ls!(own), do: say_task(Path.rootname(file))
    for module <- Mix.Task.load_tasks(:code.get_path() -- [to_charlist(own)]), do: say_task(module)
    say("end", "")

    with [name | arguments] <- task do
      await_turn()
      Mix.Task.run(name, arguments)
    end
  end

  # Standard input is left alone: whoever asks for something there gets no answer, as always.
  defp await_turn do
    fd = "GATLING_TURN" |> System.fetch_env!() |> String.to_integer()
    System.delete_env("GATLING_TURN")
    port = :erlang.open_port({:fd, fd, fd}, [:in, :eof])

    receive do
      {^port, {:data, _}} -> Port.close(port)
      {^port, :eof} -> exit({:shutdown, 1})
    end
  end

  defp tell_project(config) do
    releases = config[:releases] || []

    name =
      config[:default_release] ||
        case Keyword.keys(releases) do
          [] -> config[:app]
          [only] -> only
          _several -> nil
        end

    options =
      case releases[name] do
        function when is_function(function, 0) -> function.()
        options -> options || []
      end

    # An umbrella has no app of its own: it goes by the name of its release.
    say("app", config[:app] || (config[:apps_path] && name))
    say("version", config[:version])
    say("release", name)
    say("release_path", Path.expand(options[:path] || Path.join([Mix.Project.build_path(), "rel", to_string(name)])))
    for release <- Keyword.keys(releases), do: say("releases", release)
    for dependency <- config[:deps] || [], do: say("dependency", elem(dependency, 0))
    for {task, _} <- config[:aliases] || [], do: say("alias", task)
  end

  defp say_task(module), do: say("task", Mix.Task.task_name(:"#{module}"))

  # A line of its own, also where the project left one unfinished.
  defp say(key, value), do: IO.puts(["\ngatling-fact ", key, " ", to_string(value)])
end
