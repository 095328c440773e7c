# Upgrades a running release to another one without stopping it, with Erlang's release_handler. The init script has the
# running node evaluate this file. The target is a complete release in a folder of its own, so that it can also be started
# the usual way: nothing is unpacked into the folder that the node was started from.
#
# What it answers is the last line: "upgraded to VERSION", "cannot: WHY" if nothing was changed, or "failed: WHY".

defmodule Gatling.InPlace do
  # Erlang's and Elixir's own applications: parts of them cannot be replaced while they run.
  @platform ~w(kernel stdlib sasl erts compiler crypto ssl public_key asn1 inets mnesia os_mon runtime_tools syntax_tools
    xmerl tools elixir logger eex iex mix ex_unit)a

  @release :gatling_release

  # `from` is the folder of the release that runs, `to` that of the other one, `name` their name, and `scratch` a folder for
  # release_handler. With `explain`, nothing is changed.
  def run(from, to, name, scratch, marker, explain?) do
    caller = self()

    # Another process does it: it goes on if the caller's connection is lost.
    {pid, monitor} =
      spawn_monitor(fn ->
        wait_for_turn()
        send(caller, {self(), attempt(from, to, name, scratch, marker, explain?)})
      end)

    receive do
      {^pid, answer} -> IO.puts(answer)
      {:DOWN, ^monitor, _, _, reason} -> IO.puts("failed: " <> line(reason))
    end
  end

  defp wait_for_turn do
    Process.register(self(), :gatling_in_place)
  rescue
    ArgumentError ->
      Process.sleep(20)
      wait_for_turn()
  end

  defp attempt(from, to, name, scratch, marker, explain?) do
    running = release(from, name)
    target = release(to, name)
    check_running(running)
    check_platform(running, target)
    changes = changes(running, target)
    File.rm_rf!(scratch)
    make_private(scratch)

    try do
      relup = relup(running, target, changes, scratch)

      if explain? do
        explain(running, target, changes, relup)
      else
        install(running, target, relup, changes, scratch, marker)
      end
    after
      File.rm_rf(scratch)
    end
  catch
    {:cannot, why} -> "cannot: " <> why
    {:failed, why} -> "failed: " <> why
    kind, reason -> "failed: " <> line(Exception.format(kind, reason, __STACKTRACE__))
  end

  ## The releases

  # What a release consists of. Its .rel file says it.
  defp release(folder, name) do
    version =
      case File.read(Path.join(folder, "releases/start_erl.data")) do
        {:ok, text} -> text |> String.split() |> List.last()
        _ -> cannot("the release in #{folder} is not whole: releases/start_erl.data is missing")
      end

    file = Path.join([folder, "releases", version, name <> ".rel"])

    case :file.consult(file) do
      {:ok, [{:release, {_, _}, {:erts, erts}, apps}]} ->
        apps = Map.new(apps, &{elem(&1, 0), to_string(elem(&1, 1))})
        %{folder: folder, version: version, file: file, erts: to_string(erts), apps: apps}

      _ ->
        cannot("the release #{version} is not whole: #{file} cannot be read")
    end
  end

  defp lib(release, app), do: Path.join([release.folder, "lib", "#{app}-#{release.apps[app]}"])

  defp ebin(release, app), do: Path.join(lib(release, app), "ebin")

  # The node itself says what it runs.
  defp check_running(running) do
    for {app, _, version} <- Application.loaded_applications(), expected = running.apps[app] do
      if expected != to_string(version) do
        cannot("#{app} #{version} runs, and not #{expected} as in #{running.folder}")
      end
    end
  end

  defp check_platform(running, target) do
    if running.erts != target.erts do
      cannot("Erlang has changed, from ERTS #{running.erts} to #{target.erts}")
    end

    if running.version == target.version do
      cannot("both are version #{target.version}: raise `version` in mix.exs")
    end

    for app <- @platform, running.apps[app] != target.apps[app] do
      cannot("#{app} has changed, from #{running.apps[app] || "none"} to #{target.apps[app] || "none"}")
    end
  end

  ## What has changed

  # The changed applications, each with its modules.
  defp changes(running, target) do
    apps = for {app, _} <- target.apps, running.apps[app], do: app

    apps
    |> Task.async_stream(&{&1, change(&1, running, target)}, ordered: false, timeout: :infinity)
    |> Enum.flat_map(fn
      {:ok, {_, {:cannot, why}}} -> cannot(why)
      {:ok, {_, nil}} -> []
      {:ok, {app, change}} -> [{app, change}]
    end)
    |> Enum.sort()
  end

  defp change(app, running, target) do
    {old, new} = {beams(ebin(running, app)), beams(ebin(target, app))}
    added = Map.keys(new) -- Map.keys(old)
    removed = Map.keys(old) -- Map.keys(new)

    changed =
      for {module, file} <- new, other = old[module], File.read!(file) != File.read!(other), code(file) != code(other), do: module

    modules = %{added: Enum.sort(added), removed: Enum.sort(removed), changed: Enum.sort(changed)}
    is_same = added == [] and removed == [] and changed == []
    same_version? = running.apps[app] == target.apps[app]
    natives = natives(running, app) != natives(target, app)

    cond do
      natives -> {:cannot, "native code in #{app}'s priv folder has changed"}
      same_version? and is_same -> nil
      same_version? -> {:cannot, "#{app} has changed, but is still version #{target.apps[app]}: raise `version` in its mix.exs"}
      true -> modules
    end
  catch
    {:cannot, why} -> {:cannot, why}
  end

  defp beams(folder) do
    for file <- Path.wildcard(folder <> "/*.beam"), into: %{} do
      {file |> Path.basename(".beam") |> String.to_atom(), file}
    end
  end

  defp code(file) do
    case :beam_lib.md5(String.to_charlist(file)) do
      {:ok, {_, digest}} -> digest
      _ -> cannot("#{file} is not a whole module")
    end
  end

  defp natives(release, app) do
    for file <- Path.wildcard(lib(release, app) <> "/priv/**/*.so"), into: %{} do
      {Path.relative_to(file, lib(release, app)), :erlang.md5(File.read!(file))}
    end
  end

  ## How to get from one to the other

  defp relup(running, target, changes, scratch) do
    libs =
      for {app, change} <- changes do
        appup = appup(app, change, running, target)
        folder = Path.join([scratch, "lib", "#{app}-#{target.apps[app]}", "ebin"])
        File.mkdir_p!(folder)

        for file <- Path.wildcard(ebin(target, app) <> "/*"), Path.extname(file) != ".appup" do
          File.ln_s!(file, Path.join(folder, Path.basename(file)))
        end

        write_term(Path.join(folder, "#{app}.appup"), appup)
        folder
      end

    folders = libs ++ all_ebins(target) ++ all_ebins(running)
    path = Enum.map(folders, &String.to_charlist/1)
    {from, to} = {rel(running), rel(target)}

    case :systools.make_relup(to, [from], [], [:silent, :noexec, path: path]) do
      {:ok, {version, [{old, _, instructions}], []}, _, _} ->
        if Enum.any?(instructions, &(&1 in [:restart_new_emulator, :restart_emulator])) do
          cannot("an .appup says that the app must be restarted")
        end

        {version, [{old, [], instructions}], []}

      {:error, module, reason} ->
        cannot(line(module.format_error(reason)))
    end
  end

  defp rel(release), do: release.file |> Path.rootname() |> String.to_charlist()

  defp all_ebins(release), do: Enum.map(release.apps, fn {app, _} -> ebin(release, app) end)

  # The instructions for one application: its own .appup, if that knows both versions, or what the changed modules need.
  defp appup(app, change, running, target) do
    {old, new} = {running.apps[app], target.apps[app]}
    upwards = own_appup(target, app) |> instructions(new, old, 1)
    downwards = fn -> own_appup(running, app) |> instructions(old, new, 2) end
    instructions = upwards || downwards.() || written(app, change, target)
    {String.to_charlist(new), [{String.to_charlist(old), instructions}], []}
  end

  defp own_appup(release, app) do
    file = Path.join(ebin(release, app), "#{app}.appup")

    case :file.consult(file) do
      {:ok, [{_, _, _} = appup]} -> appup
      {:ok, _} -> cannot("#{Path.basename(file)} is not one tuple {Version, UpFrom, DownTo}")
      {:error, :enoent} -> nil
      {:error, reason} -> cannot("#{Path.basename(file)} cannot be read: #{line(:file.format_error(reason))}")
    end
  end

  defp instructions(nil, _, _, _), do: nil

  defp instructions(appup, version, other, element) do
    if to_string(elem(appup, 0)) == version do
      Enum.find_value(elem(appup, element), fn
        {pattern, instructions} when is_binary(pattern) -> if covers?(pattern, other), do: instructions
        {known, instructions} -> if to_string(known) == other, do: instructions
      end)
    end
  end

  # A binary is a regular expression for the whole version.
  defp covers?(pattern, version) do
    match?({:ok, _}, Regex.compile(pattern)) and Regex.run(Regex.compile!(pattern), version) == [version]
  end

  defp written(app, change, target) do
    {:ok, [{:application, _, properties}]} = :file.consult(Path.join(ebin(target, app), "#{app}.app"))
    callback = with {module, _} <- properties[:mod], do: module

    if callback in change.changed do
      cannot("#{inspect(callback)} has changed, and only starts the app's processes when the app starts")
    end

    updates =
      for module <- change.changed do
        behaviours = behaviours(target, app, module)

        cond do
          Enum.any?(behaviours, &(&1 in [Supervisor, :supervisor, DynamicSupervisor])) ->
            cannot("the supervisor #{inspect(module)} has changed, and only starts its processes when it starts")

          Enum.any?(behaviours, &(&1 in [GenServer, :gen_server, :gen_statem, :gen_event])) and changes_state?(target, app, module) ->
            {:update, module, {:advanced, []}, :soft_purge, :soft_purge, []}

          true ->
            {:load_module, module, :soft_purge, :soft_purge, []}
        end
      end

    added = for module <- change.added, do: {:add_module, module}
    removed = for module <- change.removed, do: {:remove, {module, :soft_purge, :soft_purge}}
    added ++ updates ++ removed
  end

  defp behaviours(target, app, module) do
    chunk = :beam_lib.chunks(beam(target, app, module), [:attributes])

    case chunk do
      {:ok, {_, [attributes: attributes]}} -> Enum.flat_map(attributes, fn {name, value} -> if name in [:behaviour, :behavior], do: value, else: [] end)
      # A release whose modules were stripped of them.
      _ -> []
    end
  end

  defp changes_state?(target, app, module) do
    {:ok, {_, [exports: exports]}} = :beam_lib.chunks(beam(target, app, module), [:exports])
    {:code_change, 3} in exports or {:code_change, 4} in exports
  end

  defp beam(release, app, module), do: String.to_charlist(Path.join(ebin(release, app), "#{module}.beam"))

  defp explain(running, target, changes, relup) do
    {_, [{_, _, instructions}], _} = relup
    apps = Enum.map_join(changes, ", ", fn {app, _} -> "#{app} #{running.apps[app]} -> #{target.apps[app]}" end)
    text = for instruction <- instructions, do: :io_lib.format("  ~tp~n", [instruction])
    "#{apps}\n#{text}could be upgraded to #{target.version}"
  end

  ## The upgrade

  defp install(running, target, relup, changes, scratch, marker) do
    version = String.to_charlist(target.version)
    folder = Path.join(scratch, target.version)
    make_private(folder)
    write_term(Path.join(folder, "relup"), relup)
    File.cp!(Path.join([target.folder, "releases", target.version, "start.boot"]), Path.join(folder, "start.boot"))
    release_handler(running, target, scratch)
    roots = set_root(target)

    try do
      write_private_term(Path.join(folder, "sys.config"), config(running, target, roots))

      wait_for_old_code(version, 50)

      case :release_handler.install_release(version, update_paths: true) do
        {:ok, _, _} -> :ok
        {:error, {:old_processes, module}} -> cannot("a process still runs the code of #{inspect(module)} of two versions ago")
        {:error, {:code_change_failed, _, module, _, reason}} -> throw({:failed, "code_change of #{inspect(module)}: #{cause(reason)}"})
        {:error, reason} -> throw({:failed, cause(reason)})
        other -> throw({:failed, line(other)})
      end
    catch
      kind, reason ->
        set_variables(roots)
        :erlang.raise(kind, reason, __STACKTRACE__)
    end

    Application.delete_env(:sasl, :releases_dir)
    load_protocols(running, target)
    refresh_endpoints(target, changes)
    set_cookie(target)
    check_code(target, changes)
    hold(marker)
    "upgraded to #{target.version}"
  end

  # Erlang can have two versions of a module at a time. What still runs that of the upgrade before gets ten seconds to end.
  defp wait_for_old_code(version, tries) do
    case :release_handler.check_install_release(version, [:purge]) do
      {:ok, _, _} ->
        :ok

      {:error, {:old_processes, _}} when tries > 0 ->
        Process.sleep(200)
        wait_for_old_code(version, tries - 1)

      {:error, {:old_processes, module}} ->
        cannot("a process still runs the code of #{inspect(module)} of two versions ago")

      {:error, reason} ->
        cannot(line(reason))
    end
  end

  # Has release_handler know both releases. It reads that only when it starts.
  defp release_handler(running, target, scratch) do
    :ok = :release_handler.create_RELEASES(c(running.folder), c(scratch), c(running.file), libs(running))
    {supervisor, child} = supervisor_of_release_handler()
    :ok = :supervisor.terminate_child(supervisor, child)
    Application.put_env(:sasl, :releases_dir, c(scratch))
    {:ok, _} = :supervisor.restart_child(supervisor, child)

    case :release_handler.set_unpacked(c(target.file), libs(target)) do
      {:ok, _} -> :ok
      {:error, reason} -> cannot(line(reason))
    end
  end

  defp supervisor_of_release_handler do
    is_child = &(elem(&1, 1) == Process.whereis(:release_handler))

    found =
      for supervisor <- [:sasl_safe_sup, :sasl_sup],
          Process.whereis(supervisor),
          child <- :supervisor.which_children(supervisor),
          is_child.(child),
          do: {supervisor, elem(child, 0)}

    List.first(found) || cannot("the application sasl does not run")
  end

  defp libs(release) do
    for {app, version} <- release.apps, do: {app, c(version), c(Path.join(release.folder, "lib"))}
  end

  # Where code finds the release. Returns what it was.
  defp set_root(target) do
    new = %{
      "RELEASE_ROOT" => target.folder,
      "RELEASE_VSN" => target.version,
      "RELEASE_SYS_CONFIG" => Path.join([target.folder, "releases", target.version, "sys"])
    }

    old = Map.new(new, fn {name, _} -> {name, System.get_env(name)} end)
    set_variables(new)
    old
  end

  defp set_variables(variables) do
    for {name, value} <- variables, do: if(value, do: System.put_env(name, value), else: System.delete_env(name))
  end

  # The new release's config, as its start would compute it, with what code has put there while it ran.
  defp config(running, target, roots) do
    new = evaluated(target)
    new_roots = Map.new(roots, fn {name, _} -> {name, System.get_env(name)} end)
    set_variables(roots)
    old = evaluated(running)
    set_variables(new_roots)

    put =
      for {app, _} <- target.apps, running.apps[app] do
        defaults = Keyword.merge(defaults(running, app), Keyword.get(old, app, []))
        {app, for({key, value} <- Application.get_all_env(app), not Keyword.has_key?(defaults, key), do: {key, value})}
      end

    put = Enum.reject(put, fn {app, values} -> values == [] or app in [:sasl] end)
    Config.Reader.merge(put, new)
  end

  defp evaluated(release) do
    {:ok, [config]} = :file.consult(Path.join([release.folder, "releases", release.version, "sys.config"]))

    case config[:elixir][:config_provider_init] do
      %{providers: providers, extra_config: extra} ->
        Enum.reduce(providers, Config.Reader.merge(config, extra), fn {provider, state}, config ->
          provider.load(config, state)
        end)

      _ ->
        config
    end
  end

  defp defaults(release, app) do
    case :file.consult(Path.join(ebin(release, app), "#{app}.app")) do
      {:ok, [{:application, _, properties}]} -> properties[:env] || []
      _ -> []
    end
  end

  # A release has a copy of each protocol that knows all its implementations.
  defp load_protocols(running, target) do
    folder = fn release -> Path.join([release.folder, "releases", release.version, "consolidated"]) end
    :code.del_path(c(folder.(running)))

    if File.dir?(folder.(target)) do
      :code.add_patha(c(folder.(target)))

      for {module, file} <- beams(folder.(target)), loaded_code(module) != code(file) do
        :code.soft_purge(module)
        {:module, _} = :code.load_abs(c(Path.rootname(file)))
      end
    end
  end

  defp loaded_code(module) do
    :erlang.get_module_info(module, :md5)
  rescue
    ArgumentError -> nil
  end

  # Phoenix's endpoints have noted which assets there are.
  defp refresh_endpoints(target, changes) do
    for {app, _} <- changes, {module, _} <- beams(ebin(target, app)), Phoenix.Endpoint in behaviours(target, app, module), Process.whereis(module) do
      module.config_change([{module, Application.get_env(app, module)}], [])
    end
  end

  # The scripts of the new release read its cookie from its own folder.
  defp set_cookie(target) do
    with nil <- System.get_env("RELEASE_COOKIE"),
         {:ok, cookie} <- File.read(Path.join(target.folder, "releases/COOKIE")),
         true <- Node.alive?() do
      Node.set_cookie(String.to_atom(String.trim(cookie)))
    end
  end

  # The node runs the new code, and says so itself.
  defp check_code(target, changes) do
    for {app, change} <- changes do
      if to_string(Application.spec(app, :vsn)) != target.apps[app] do
        throw({:failed, "the node still says that it runs #{app} #{Application.spec(app, :vsn)}"})
      end

      for module <- change.added ++ change.changed, loaded_code(module) != code(Path.join(ebin(target, app), "#{module}.beam")) do
        protocol? = function_exported?(module, :__protocol__, 1)
        unless protocol?, do: throw({:failed, "the node still runs other code of #{inspect(module)}"})
      end
    end
  end

  # The node keeps this file of the release open: so everybody sees in /proc which release the process runs. The agent runs
  # none of the code here, which is replaced at the next upgrade.
  defp hold(marker) do
    old = Process.whereis(@release)
    if old, do: Process.unregister(@release)
    if marker != "", do: {:ok, _} = Agent.start(:file, :open, [marker, [:raw, :read]], name: @release)
    if old, do: Agent.stop(old)
  end

  ## Help

  defp cannot(why), do: throw({:cannot, why})

  defp c(text), do: String.to_charlist(text)

  defp make_private(folder) do
    File.mkdir_p!(folder)
    File.chmod!(folder, 0o700)
  end

  defp write_term(file, term), do: File.write!(file, :io_lib.format(~c"%% coding: utf-8~n~tp.~n", [term]))

  defp write_private_term(file, term) do
    File.touch!(file)
    File.chmod!(file, 0o600)
    write_term(file, term)
  end

  # Why a process has exited.
  defp cause({:EXIT, reason}), do: cause(reason)
  defp cause({exception, [{_, _, _, _} | _]}) when is_exception(exception), do: line(Exception.message(exception))
  defp cause(reason), do: line(inspect(reason))

  # One line for people.
  defp line(text) when is_binary(text), do: text |> String.split("\n", trim: true) |> Enum.map_join(" ", &String.trim/1)

  defp line(term) do
    line(to_string(term))
  rescue
    _ -> line(inspect(term))
  end
end
