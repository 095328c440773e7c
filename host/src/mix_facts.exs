# What Gatling has to know of a project, asked in one start of mix. Each line is read by
# host/src/mix.rs; whatever else the project prints is passed over.
# A line of its own, also where the project left one unfinished.
say = fn key, value -> IO.puts(["\ngatling-fact ", key, " ", to_string(value)]) end

Mix.start()
Code.compile_file("mix.exs")
config = Mix.Project.config()
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
say.("app", config[:app] || (config[:apps_path] && name))
say.("version", config[:version])
say.("release", name)
say.("release_path", Path.expand(options[:path] || Path.join([Mix.Project.build_path(), "rel", to_string(name)])))
for release <- Keyword.keys(releases), do: say.("releases", release)
for dependency <- config[:deps] || [], do: say.("dependency", elem(dependency, 0))
for {task, _} <- config[:aliases] || [], do: say.("task", task)

# Without their code on the path, the tasks of dependencies can't be found.
Mix.Task.run("loadpaths", ["--no-elixir-version-check", "--no-deps-check", "--no-archives-check"])
for module <- Mix.Task.load_all(), do: say.("task", Mix.Task.task_name(module))
