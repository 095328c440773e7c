# What Gatling has to know of a project, told by a mix task that it brings along. Each line is read
# by mix/facts.rs; whatever else the project prints is passed over.
defmodule Mix.Tasks.Gatling.Facts do
  @moduledoc false

  def run(_) do
    config = Mix.Project.config()
    children = children(config)
    tell_elixir(config[:elixir])
    tell_project(config, children)
    tell_runtime_config(config, children)

    # Without their code on the path, the tasks of dependencies can't be found. Listeners may live in
    # dependencies that aren't compiled yet.
    Mix.Task.run("loadpaths", [
      "--no-elixir-version-check",
      "--no-deps-check",
      "--no-archives-check",
      "--no-listeners"
    ])

    own = Path.join(:code.lib_dir(:mix), "ebin")
    # Of mix's own, which are many, the names tell enough: to load them takes longer than the rest.
    for "Elixir.Mix.Tasks." <> _ = file <- File.ls!(own), do: say_task(Path.rootname(file))
    for module <- Mix.Task.load_tasks(:code.get_path() -- [to_charlist(own)]), do: say_task(module)
    say("end", "")
  end

  def tell_elixir_version do
    say("elixir", System.version())
    say("otp_release", System.otp_release())
    say("otp_root", :code.root_dir())
  end

  defp tell_elixir(nil), do: :ok

  defp tell_elixir(requirement) do
    say("elixir_requirement", requirement)
    if Version.match?(System.version(), requirement), do: say("elixir_is_fit", "")
  end

  # The apps of an umbrella: each with its folder and its own config.
  defp children(config) do
    for {app, path} <- (config[:apps_path] && Mix.Project.apps_paths(config)) || %{} do
      {app, path, Mix.Project.in_project(app, path, fn _ -> Mix.Project.config() end)}
    end
  end

  defp tell_project(config, children) do
    for {app, path, child} <- children do
      say("child", [path, " ", to_string(app)])
      for {task, _} <- child[:aliases] || [], do: say("child_alias", [path, " ", to_string(task)])
    end

    releases = config[:releases] || []
    declared = Keyword.keys(releases)
    for name <- declared, do: say("releases", name)

    # mix builds no release of an umbrella that declares none, but of an app in it. It is to be the
    # one that brings along all others: no other depends on it.
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

    # An umbrella has no app of its own: it goes by the name of its release, or of one of its apps.
    say("app", root[:app] || name)
    for {app, _, _} <- children, do: say("app", app)
    say("version", release_version(options[:version], config, children))
    say("release", name)
    if config[:releases] not in [nil, []], do: say("release_is_declared", "")
    if in_folder, do: say("release_folder", in_folder)

    say(
      "release_path",
      Path.expand(options[:path] || Path.join([Mix.Project.build_path(), "rel", to_string(name)]))
    )

    for dependency <- root[:deps] || [], do: say("dependency", elem(dependency, 0))
    for {task, _} <- root[:aliases] || [], do: say("alias", task)
  end

  defp several(apps) do
    for {app, _, _} <- apps, do: say("umbrella_root", app)
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

  # What config/ and config/runtime.exs say, as they will say it to the release.
  defp tell_runtime_config(config, children) do
    apps = if children == [], do: [config[:app]], else: Enum.map(children, &elem(&1, 0))
    runtime = read_runtime_config()

    for app <- apps, app != nil do
      own = Application.get_all_env(app)
      merged = Config.Reader.merge([{app, own}], Keyword.take(runtime, [app]))[app]
      for repo <- List.wrap(merged[:ecto_repos]), do: say("repo", [to_string(app), " ", inspect(repo)])
      for {module, options} <- merged, endpoint?(module, options), do: tell_endpoint(app, module, options)
    end
  end

  defp read_runtime_config do
    file = "config/runtime.exs"

    if File.regular?(file) do
      say("runtime_config", file)
      before = System.get_env()

      try do
        # As it is when the release starts.
        System.put_env("PHX_SERVER", "true")
        Config.Reader.read!(file, env: Mix.env(), target: Mix.target(), imports: :disabled)
      rescue
        # It uses what isn't compiled yet: nothing can be known before it is.
        error in UndefinedFunctionError ->
          say("runtime_config_unknown", Exception.message(error))
          []

        error ->
          say("runtime_config_raises", Exception.message(error))
          []
      catch
        kind, reason ->
          say("runtime_config_raises", Exception.format_banner(kind, reason))
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

  defp tell_endpoint(app, module, options) do
    say("endpoint", [to_string(app), " ", inspect(module)])
    http = options[:http]
    ip = is_list(http) && http[:ip]

    cond do
      not is_list(http) -> :ok
      loopback?(ip) -> say("http", "loopback")
      true -> say("http", "open")
    end

    if options[:server], do: say("server", "")

    case Keyword.fetch(options, :check_origin) do
      {:ok, origin} when origin != true -> say("origin", "own")
      _ -> :ok
    end

    if is_list(options[:url]) and is_binary(options[:url][:host]), do: say("host", options[:url][:host])
    if options[:force_ssl], do: say("force_ssl", "")
    manifest = options[:cache_static_manifest]
    if is_binary(manifest), do: say("manifest", manifest)
  end

  # nginx and the health check come to 127.0.0.1: IPv6's own address is another one.
  defp loopback?({127, 0, 0, 1}), do: true
  defp loopback?({:local, _}), do: true
  defp loopback?(_), do: false

  defp say_task(module), do: say("task", Mix.Task.task_name(:"#{module}"))

  # A line of its own, also where the project left one unfinished.
  defp say(key, value) do
    value = value |> to_string() |> String.replace("\\", "\\\\") |> String.replace("\n", "\\n")
    IO.puts(["\ngatling-fact ", key, " ", value])
  end
end

# Also of a project that needs another Elixir, and can't be loaded.
Mix.Tasks.Gatling.Facts.tell_elixir_version()
