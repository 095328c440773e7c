# A mix task that prints the facts that Gatling needs about a project. mix/facts.rs parses each line and
# ignores other output of the project.
defmodule Mix.Tasks.Gatling.Facts do
  @moduledoc false

  def run(_) do
    config = Mix.Project.config()
    children = children(config)
    print_elixir(config[:elixir])
    print_project(config, children)
    print_runtime_config(config, children)

    # The tasks of dependencies can only be found if their code is on the path. Listeners may be in
    # dependencies that are not compiled yet.
    Mix.Task.run("loadpaths", [
      "--no-elixir-version-check",
      "--no-deps-check",
      "--no-archives-check",
      "--no-listeners"
    ])

    own = Path.join(:code.lib_dir(:mix), "ebin")
    # For mix's own tasks, the file names are enough: loading all of them would take longer than the rest.
    for "Elixir.Mix.Tasks." <> _ = file <- File.ls!(own), do: print_task(Path.rootname(file))
    for module <- Mix.Task.load_tasks(:code.get_path() -- [to_charlist(own)]), do: print_task(module)
    print_fact("end", "")
  end

  def print_elixir_version do
    print_fact("elixir", System.version())
    print_fact("otp_release", System.otp_release())
    print_fact("otp_root", :code.root_dir())
  end

  defp print_elixir(nil), do: :ok

  defp print_elixir(requirement) do
    print_fact("elixir_requirement", requirement)
    if Version.match?(System.version(), requirement), do: print_fact("elixir_is_fit", "")
  end

  # The apps of an umbrella: each with its folder and its own config.
  defp children(config) do
    for {app, path} <- (config[:apps_path] && Mix.Project.apps_paths(config)) || %{} do
      {app, path, Mix.Project.in_project(app, path, fn _ -> Mix.Project.config() end)}
    end
  end

  defp print_project(config, children) do
    for {app, path, child} <- children do
      print_fact("child", [path, " ", to_string(app)])
      for {task, _} <- child[:aliases] || [], do: print_fact("child_alias", [path, " ", to_string(task)])
    end

    releases = config[:releases] || []
    declared = Keyword.keys(releases)
    for name <- declared, do: print_fact("releases", name)

    # If an umbrella declares no release, mix can only build one of an app in it. That must be the app that
    # depends, directly or not, on all others: no other app depends on it.
    {root, in_folder, config, default} =
      case {config[:apps_path], declared, roots(children)} do
        {nil, _, _} -> {config, nil, config, config[:app]}
        {_, [], [{app, path, child}]} -> {config, path, child, app}
        {_, [], several} -> {config, nil, config, several(several)}
        {_, _, _} -> {config, nil, config, nil}
      end

    name =
      config[:default_release] ||
        case Keyword.keys(config[:releases] || []) do
          [] -> default
          [only] -> only
          _several -> nil
        end

    options =
      case (config[:releases] || [])[name] do
        function when is_function(function, 0) -> function.()
        options -> options || []
      end

    # An umbrella has no app name: the project may be named after its release or one of its apps.
    print_fact("app", root[:app] || name)
    for {app, _, _} <- children, do: print_fact("app", app)
    print_fact("version", release_version(options[:version], config, children))
    print_fact("release", name)
    if config[:releases] not in [nil, []], do: print_fact("release_is_declared", "")
    if in_folder, do: print_fact("release_folder", in_folder)

    print_fact(
      "release_path",
      Path.expand(options[:path] || Path.join([Mix.Project.build_path(), "rel", to_string(name)]))
    )

    for dependency <- root[:deps] || [], do: print_fact("dependency", elem(dependency, 0))
    for {task, _} <- root[:aliases] || [], do: print_fact("alias", task)
  end

  defp several(apps) do
    for {app, _, _} <- apps, do: print_fact("umbrella_root", app)
    nil
  end

  defp roots(children) do
    needed =
      for {_, _, config} <- children, dependency <- config[:deps] || [], do: elem(dependency, 0)

    for {app, _, _} = child <- children, app not in needed, do: child
  end

  defp release_version(nil, config, _children), do: config[:version]

  defp release_version({:from_app, app}, config, children) do
    case List.keyfind(children, app, 0) do
      {_, _, child} -> child[:version]
      nil -> config[:version]
    end
  end

  defp release_version(version, _config, _children), do: version

  # The settings in config/ and config/runtime.exs, as the release will get them.
  defp print_runtime_config(config, children) do
    apps = if children == [], do: [config[:app]], else: Enum.map(children, &elem(&1, 0))
    runtime = read_runtime_config()

    for app <- apps, app != nil do
      own = Application.get_all_env(app)
      merged = Config.Reader.merge([{app, own}], Keyword.take(runtime, [app]))[app]
      for repo <- List.wrap(merged[:ecto_repos]), do: print_fact("repo", [to_string(app), " ", inspect(repo)])
      for {module, options} <- merged, endpoint?(module, options), do: print_endpoint(app, module, options)
    end
  end

  defp read_runtime_config do
    file = "config/runtime.exs"

    if File.regular?(file) do
      print_fact("runtime_config", file)
      before = System.get_env()

      try do
        # As when the release starts.
        System.put_env("PHX_SERVER", "true")
        Config.Reader.read!(file, env: Mix.env(), target: Mix.target(), imports: :disabled)
      rescue
        # It uses code that is not compiled yet.
        error in UndefinedFunctionError ->
          print_fact("runtime_config_unknown", Exception.message(error))
          []

        error ->
          print_fact("runtime_config_raises", Exception.message(error))
          []
      catch
        kind, reason ->
          print_fact("runtime_config_raises", Exception.format_banner(kind, reason))
          []
      after
        for {name, _} <- System.get_env(), not is_map_key(before, name), do: System.delete_env(name)
        System.put_env(before)
      end
    else
      []
    end
  end

  defp endpoint?(module, options) do
    match?("Elixir." <> _, to_string(module)) and Keyword.keyword?(options) and
      (is_list(options[:url]) or
         Enum.any?([:http, :https, :pubsub_server, :render_errors], &Keyword.has_key?(options, &1)))
  end

  defp print_endpoint(app, module, options) do
    print_fact("endpoint", [to_string(app), " ", inspect(module)])
    http = options[:http]
    ip = is_list(http) && http[:ip]

    cond do
      not is_list(http) -> :ok
      loopback?(ip) -> print_fact("http", "loopback")
      true -> print_fact("http", "open")
    end

    if options[:server], do: print_fact("server", "")

    case Keyword.fetch(options, :check_origin) do
      {:ok, origin} when origin != true -> print_fact("origin", "own")
      _ -> :ok
    end

    if is_list(options[:url]) and is_binary(options[:url][:host]), do: print_fact("host", options[:url][:host])
    if options[:force_ssl], do: print_fact("force_ssl", "")
    manifest = options[:cache_static_manifest]
    if is_binary(manifest), do: print_fact("manifest", manifest)
  end

  # nginx and the health check connect to 127.0.0.1, so IPv6's loopback address does not count.
  defp loopback?({127, 0, 0, 1}), do: true
  defp loopback?({:local, _}), do: true
  defp loopback?(_), do: false

  defp print_task(module), do: print_fact("task", Mix.Task.task_name(:"#{module}"))

  # Begins a new line, in case the project left one unfinished.
  defp print_fact(key, value) do
    value = value |> to_string() |> String.replace("\\", "\\\\") |> String.replace("\n", "\\n")
    IO.puts(["\ngatling-fact ", key, " ", value])
  end
end

# Printed even if the project needs another Elixir and cannot be loaded.
Mix.Tasks.Gatling.Facts.print_elixir_version()
