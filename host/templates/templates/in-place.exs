# Upgrades a running release to another one without stopping it, with Erlang's release_handler. The init script has the
# running node evaluate this file. The target is a complete release in a folder of its own, so that it can also be started
# the usual way: nothing is unpacked into the folder that the node was started from.
#
# What it answers is the last line: "upgraded to VERSION", "cannot: WHY" if nothing was changed, or "failed: WHY". It says
# "begun" before it changes anything. After a failure, Erlang restarts the node, or it is not known what it runs: it must be killed.

defmodule Gatling.InPlace do
  # Erlang's and Elixir's own applications: parts of them cannot be replaced while they run.
  @platform ~w(kernel stdlib sasl erts compiler crypto ssl public_key asn1 inets mnesia os_mon runtime_tools syntax_tools
    xmerl tools elixir logger eex iex mix ex_unit)a

  @release :gatling_release
  @prepared {__MODULE__, :prepared}

  # How long it may take until it begins. The init script stops waiting later than that.
  @seconds 100

  @digest :erlang.md5(File.read!(__ENV__.file))

  # Whether this module was compiled from the file as it is now.
  def is_from?(file), do: :erlang.md5(File.read!(file)) == @digest

  # `from` is the folder of the release that runs, `to` that of the other one, `name` their name, and `scratch` a folder for
  # release_handler. `what` is :up, :down (back to a release that served before), or :explain, which changes nothing.
  def run(from, to, name, scratch, marker, what) do
    caller = self()
    deadline = System.monotonic_time(:second) + @seconds

    # Another process does it: once it has begun, it goes on if the caller's connection is lost.
    {pid, monitor} =
      spawn_monitor(fn ->
        wait_for_turn()
        Process.put(:caller, caller)
        Process.put(:deadline, deadline)
        send(caller, {self(), attempt(from, to, name, scratch, marker, what)})
      end)

    tell(pid, monitor)
  end

  # Says "begun" before anything is changed. If the init script has gone away, this process has been killed (see call_node there),
  # or IO.puts fails.
  defp tell(pid, monitor) do
    receive do
      {^pid, :begins} ->
        IO.puts("begun")
        send(pid, :told)
        tell(pid, monitor)

      {^pid, answer} ->
        IO.puts(answer)

      {:DOWN, ^monitor, _, _, reason} ->
        IO.puts("failed: " <> line(inspect(reason)))
    end
  end

  defp begin do
    if System.monotonic_time(:second) > Process.get(:deadline), do: cannot("the preparations took more than #{@seconds} s")
    caller = Process.get(:caller)
    monitor = Process.monitor(caller)
    send(caller, {self(), :begins})

    receive do
      :told -> Process.put(:has_begun, true)
      {:DOWN, ^monitor, _, _, _} -> cannot("the caller has gone away")
    end

    Process.demonitor(monitor, [:flush])
  end

  defp wait_for_turn do
    Process.register(self(), :gatling_in_place)
  rescue
    ArgumentError ->
      Process.sleep(20)
      wait_for_turn()
  end

  defp attempt(from, to, name, scratch, marker, what) do
    running = release(from, name)
    target = release(to, name)
    check_running(running)
    check_platform(running, target)
    changes = changes(running, target)
    File.rm_rf!(scratch)
    make_private(scratch)

    try do
      instructions = instructions(running, target, changes, scratch, what)
      check_instructions(instructions, changes)

      if what == :explain do
        explain(running, target, changes, instructions)
      else
        install(running, target, instructions, changes, scratch, marker, what)
      end
    after
      File.rm_rf(scratch)
    end
  catch
    {:cannot, why} -> outcome(why)
    kind, reason -> outcome(Exception.format_banner(kind, reason, __STACKTRACE__))
  end

  # Until release_handler begins, nothing is changed.
  defp outcome(why), do: if(Process.get(:has_begun), do: "failed: ", else: "cannot: ") <> line(why)

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

    for file <- ["env.sh", "vm.args"], start_file(running, file) != start_file(target, file) do
      cannot("#{file} has changed, and is only read when the app starts")
    end
  end

  # Gatling's own addition to it may be missing yet.
  defp start_file(release, file) do
    case File.read(Path.join([release.folder, "releases", release.version, file])) do
      {:ok, text} -> text |> String.split("# Added by gatling") |> hd() |> String.trim()
      _ -> ""
    end
  end

  ## What has changed

  # The changed applications, each with its modules.
  defp changes(running, target) do
    differences = differences(running, target)
    apps = for {app, _} <- target.apps, running.apps[app], not same?(app, running, target, differences), do: app

    apps
    |> Task.async_stream(&{&1, change(&1, running, target)}, ordered: false, timeout: :infinity)
    |> Enum.flat_map(fn
      {:ok, {_, {:cannot, why}}} -> cannot(why)
      {:ok, {_, nil}} -> []
      {:ok, {app, change}} -> [{app, change}]
    end)
    |> Enum.sort()
  end

  defp same?(_, _, _, nil), do: false

  defp same?(app, running, target, differences) do
    running.apps[app] == target.apps[app] and not String.contains?(differences, "#{app}-#{target.apps[app]}")
  end

  # Names what differs between the two releases. diff compares a thousand files faster than Erlang does. Returns nil if it fails.
  defp differences(running, target) do
    folders = for release <- [running, target], do: Path.join(release.folder, "lib")

    with diff when is_binary(diff) <- System.find_executable("diff"),
         {text, status} when status < 2 <- System.cmd(diff, ["-rq" | folders], env: [{"LC_ALL", "C"}], stderr_to_stdout: true) do
      text
    else
      _ -> nil
    end
  end

  defp change(app, running, target) do
    {old, new} = {beams(ebin(running, app)), beams(ebin(target, app))}
    added = Map.keys(new) -- Map.keys(old)
    removed = Map.keys(old) -- Map.keys(new)

    changed =
      for {module, file} <- new, other = old[module], File.read!(file) != File.read!(other), code(file) != code(other), do: module

    {old_callback, new_callback} = {callback(running, app), callback(target, app)}
    is_other = old_callback != new_callback or new_callback in changed
    callback = if is_other, do: new_callback || old_callback
    modules = %{added: Enum.sort(added), removed: Enum.sort(removed), changed: Enum.sort(changed), callback: callback}
    native = Enum.find(changed, &(loads_native_code?(old[&1]) or loads_native_code?(new[&1])))
    is_same = added == [] and removed == [] and changed == []
    same_version? = running.apps[app] == target.apps[app]
    natives = natives(running, app) != natives(target, app)

    cond do
      natives -> {:cannot, "native code in #{app}'s priv folder has changed"}
      native -> {:cannot, "#{inspect(native)} has changed, and loads native code"}
      same_version? and is_same -> nil
      same_version? -> {:cannot, "#{app} has changed, but is still version #{target.apps[app]}. If it is yours, raise `version` in its mix.exs"}
      true -> modules
    end
  catch
    {:cannot, why} -> {:cannot, why}
  end

  defp beams(folder) do
    for file <- files(folder), Path.extname(file) == ".beam", into: %{} do
      {file |> Path.basename(".beam") |> String.to_atom(), file}
    end
  end

  # Path.wildcard would not take the names of folders as they are.
  defp files(folder) do
    case File.ls(folder) do
      {:ok, names} -> Enum.map(names, &Path.join(folder, &1))
      _ -> []
    end
  end

  defp code(file) do
    case :beam_lib.md5(String.to_charlist(file)) do
      {:ok, {_, digest}} -> digest
      _ -> cannot("#{file} is not a whole module")
    end
  end

  defp loads_native_code?(file) do
    {:ok, {_, [imports: imports]}} = :beam_lib.chunks(c(file), [:imports])
    {:erlang, :load_nif, 2} in imports
  end

  defp callback(release, app) do
    with {module, _} <- properties(release, app)[:mod], do: module
  end

  # What the .app file says.
  defp properties(release, app) do
    case :file.consult(Path.join(ebin(release, app), "#{app}.app")) do
      {:ok, [{:application, _, properties}]} -> properties
      _ -> []
    end
  end

  defp natives(release, app) do
    priv = Path.join(lib(release, app), "priv")

    for file <- all_files(priv), Path.extname(file) == ".so", into: %{} do
      {Path.relative_to(file, priv), :erlang.md5(File.read!(file))}
    end
  end

  defp all_files(folder) do
    Enum.flat_map(files(folder), fn file -> if File.dir?(file), do: all_files(file), else: [file] end)
  end

  ## How to get from one to the other

  # release_handler's instructions, in order. Those for going back are written for the release that runs.
  defp instructions(running, target, changes, scratch, what) do
    down? = what == :down
    {upper, lower} = if down?, do: {running, target}, else: {target, running}

    libs =
      for {app, change} <- changes do
        known = own(running, target, app, down?) || written(app, change, target, changes)
        steps = [{c(lower.apps[app]), known}]
        appup = {c(upper.apps[app]), if(down?, do: [], else: steps), if(down?, do: steps, else: [])}
        folder = Path.join([scratch, "lib", "#{app}-#{upper.apps[app]}", "ebin"])
        File.mkdir_p!(folder)

        for file <- files(ebin(upper, app)), Path.extname(file) != ".appup" do
          File.ln_s!(file, Path.join(folder, Path.basename(file)))
        end

        write_term(Path.join(folder, "#{app}.appup"), appup)
        folder
      end

    path = Enum.map(libs ++ all_ebins(upper) ++ all_ebins(lower), &c/1)
    {ups, downs} = if down?, do: {[], [rel(lower)]}, else: {[rel(lower)], []}

    case :systools.make_relup(rel(upper), ups, downs, [:silent, :noexec, path: path]) do
      {:ok, {_, [{_, _, instructions}], []}, _, _} -> instructions
      {:ok, {_, [], [{_, _, instructions}]}, _, _} -> instructions
      {:error, module, reason} -> cannot(line(module.format_error(reason)))
    end
  end

  # They must load all that has changed, and not restart Erlang.
  defp check_instructions(instructions, changes) do
    if Enum.any?(instructions, &(&1 in [:restart_new_emulator, :restart_emulator])) do
      cannot("an .appup says that the app must be restarted")
    end

    loaded = for {:load, {module, _, _}} <- instructions, do: module

    for {app, change} <- changes, module <- (change.added ++ change.changed) -- loaded do
      cannot("the .appup of #{app} leaves out #{inspect(module)}, which has changed")
    end
  end

  defp rel(release), do: release.file |> Path.rootname() |> c()

  defp all_ebins(release), do: Enum.map(release.apps, fn {app, _} -> ebin(release, app) end)

  # The instructions of the app's own .appup, if there is one that knows both versions.
  defp own(running, target, app, down?) do
    {old, new} = {running.apps[app], target.apps[app]}
    up = fn -> own_appup(target, app) |> instructions_of(new, old, 1) end
    down = fn -> own_appup(running, app) |> instructions_of(old, new, 2) end
    if down?, do: down.() || up.(), else: up.() || down.()
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

  defp instructions_of(nil, _, _, _), do: nil

  defp instructions_of(appup, version, other, element) do
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

  # What the changed modules need.
  defp written(app, change, target, changes) do
    if change.callback do
      cannot("#{inspect(change.callback)} has changed, and only starts the app's processes when the app starts")
    end

    updates =
      for module <- change.changed do
        behaviours = behaviours(target, app, module)

        cond do
          Enum.any?(behaviours, &(&1 in [Supervisor, :supervisor, DynamicSupervisor])) ->
            cannot("the supervisor #{inspect(module)} has changed, and only starts its processes when it starts")

          changes_state?(behaviours, target, app, module) ->
            {:update, module, {:advanced, []}, :soft_purge, :soft_purge, []}

          true ->
            {:load_module, module, :soft_purge, :soft_purge, []}
        end
      end

    # One that another app has now is not removed.
    moved = Enum.flat_map(changes, fn {_, other} -> other.added end)
    added = for module <- change.added, do: {:add_module, module}
    removed = for module <- change.removed -- moved, do: {:remove, {module, :soft_purge, :soft_purge}}
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

  defp changes_state?(behaviours, target, app, module) do
    {:ok, {_, [exports: exports]}} = :beam_lib.chunks(beam(target, app, module), [:exports])
    processes = [GenServer, :gen_server, :gen_statem, :gen_event]
    Enum.any?(behaviours, &(&1 in processes)) and ({:code_change, 3} in exports or {:code_change, 4} in exports)
  end

  defp beam(release, app, module), do: String.to_charlist(Path.join(ebin(release, app), "#{module}.beam"))

  defp explain(running, target, changes, instructions) do
    apps = Enum.map_join(changes, ", ", fn {app, _} -> "#{app} #{running.apps[app]} -> #{target.apps[app]}" end)
    text = for instruction <- instructions, do: :io_lib.format("  ~tp~n", [instruction])
    "#{apps}\n#{text}could be upgraded to #{target.version}"
  end

  ## The upgrade

  defp install(running, target, instructions, changes, scratch, marker, what) do
    version = c(target.version)
    {up, down} = {Path.join(scratch, target.version), Path.join(scratch, running.version)}
    Enum.each([up, down], &make_private/1)
    {upper, lower} = if what == :down, do: {running, target}, else: {target, running}
    {instructions, loaded} = at_once(instructions, running, target, changes, what)
    # What the file with the config cannot hold is put there as soon as release_handler has read that.
    instructions = [{:apply, {__MODULE__, :put_values, []}} | instructions]
    steps = [{c(lower.version), [], instructions}]
    relup = {c(upper.version), if(what == :down, do: [], else: steps), if(what == :down, do: steps, else: [])}
    write_term(Path.join(if(what == :down, do: down, else: up), "relup"), relup)
    # Without a file there, old code would not be looked for.
    if what == :down, do: write_term(Path.join(up, "relup"), {version, [], []})
    File.cp!(Path.join([target.folder, "releases", target.version, "start.boot"]), Path.join(up, "start.boot"))
    roots = set_root(target)

    try do
      {config, values} = readable(config(running, target, roots))
      write_private_term(Path.join(up, "sys.config"), config)
      :persistent_term.put(__MODULE__, values)
      wait_for_processes(instructions, 50)
      wait_for_tasks(changes, 50)
      release_handler(running, target, scratch)
      wait_for_old_code(version, loaded, 50)
      begin()

      case :release_handler.install_release(version, update_paths: true) do
        {:ok, _, _} -> :ok
        {:error, {:old_processes, module}} -> cannot_again(module)
        {:error, {:code_change_failed, _, module, _, reason}} -> cannot("code_change of #{inspect(module)}: #{cause(reason)}")
        {:error, reason} -> cannot(cause(reason))
        other -> cannot(inspect(other))
      end
    catch
      kind, reason ->
        set_variables(roots)
        :erlang.raise(kind, reason, __STACKTRACE__)
    after
      :persistent_term.erase(__MODULE__)
      :persistent_term.erase(@prepared)
      Application.delete_env(:sasl, :releases_dir)
    end

    load_protocols(running, target)
    start_added(running, target)
    refresh_endpoints(target, changes)
    set_cookie(running, target)
    check_code(target, changes)
    hold(marker)
    "upgraded to #{target.version}"
  end

  # The instructions, with all modules loaded at once: otherwise requests would meet old and new ones together. Also returns the
  # modules. If an app has its own .appup, or a module can only be loaded alone, the instructions stay as they are.
  defp at_once(instructions, running, target, changes, what) do
    files = files_to_load(instructions, target)
    {first, [:point_of_no_return | rest]} = Enum.split_while(instructions, &(&1 != :point_of_no_return))
    is_own = Enum.any?(changes, fn {app, _} -> own(running, target, app, what == :down) != nil end)

    with false <- is_own,
         {:ok, prepared} <- :code.prepare_loading(for({module, file} <- files, do: {module, c(file), File.read!(file)})) do
      modules = Map.keys(files)
      :persistent_term.put(@prepared, {prepared, modules})
      # Going back, the newer modules convert the states.
      before = Enum.filter(rest, &match?({:suspend, _}, &1)) ++ Enum.filter(rest, &match?({:code_change, :down, _}, &1))
      resume = Enum.filter(rest, &match?({:resume, _}, &1))
      others = Enum.reject(rest -- (before ++ resume), &match?({:load, _}, &1))
      {first ++ [:point_of_no_return] ++ before ++ [{:apply, {__MODULE__, :load, []}}] ++ others ++ resume, modules}
    else
      _ -> {instructions, []}
    end
  end

  # The changed modules, and the protocols that know other implementations now, each with its file.
  defp files_to_load(instructions, target) do
    loaded = for {:load, {module, _, _}} <- instructions, do: module

    files =
      for {:load_object_code, {app, _, modules}} <- instructions, module <- modules, module in loaded, into: %{} do
        {module, Path.join(ebin(target, app), "#{module}.beam")}
      end

    protocols = for {module, file} <- beams(consolidated(target)), loaded_code(module) != code(file), into: %{}, do: {module, file}
    Map.merge(files, protocols)
  end

  # Called by release_handler.
  def load do
    {prepared, modules} = :persistent_term.get(@prepared)
    true = Enum.all?(modules, &:code.soft_purge/1)
    :ok = :code.finish_loading(prepared)
  end

  # release_handler looks for old code once more before it begins.
  defp cannot_again(module) do
    Process.delete(:has_begun)
    cannot("a process still runs the code of #{inspect(module)} of two versions ago")
  end

  # Called by release_handler.
  def put_values do
    for {app, key, value} <- :persistent_term.get(__MODULE__, []), do: Application.put_env(app, key, value)
    :ok
  end

  # The config without values that a file cannot hold (functions, pids, references), and those.
  defp readable(config) do
    values =
      for {app, settings} <- config, {key, value} <- settings, not readable?(value), do: {app, key, value}

    if app = Enum.find_value(values, fn {app, _, _} -> app in [:kernel, :stdlib] && app end) do
      cannot("the config of #{app} has a function, a pid or a reference")
    end

    left_out = MapSet.new(values, fn {app, key, _} -> {app, key} end)
    {for({app, settings} <- config, do: {app, Enum.reject(settings, fn {key, _} -> {app, key} in left_out end)}), values}
  end

  defp readable?(value) do
    text = :io_lib.format(~c"~tp.", [value]) |> :unicode.characters_to_list()

    case :erl_scan.string(text) do
      {:ok, tokens, _} -> match?({:ok, ^value}, :erl_parse.parse_term(tokens))
      _ -> false
    end
  end

  # Erlang waits five seconds for each process that is busy when its code is changed, one after the other. So all must answer
  # before it begins.
  defp wait_for_processes(instructions, tries) do
    modules = for {:suspend, modules} <- instructions, module <- List.wrap(modules), do: if(is_tuple(module), do: elem(module, 0), else: module)

    busy =
      Process.list()
      |> Enum.filter(&(module_of(&1) in modules))
      |> Task.async_stream(&{&1, answers?(&1)}, max_concurrency: 100, timeout: :infinity, ordered: false)
      |> Enum.flat_map(fn {:ok, {pid, answers?}} -> if answers?, do: [], else: [pid] end)

    case busy do
      [] -> :ok
      _ when tries > 0 -> Process.sleep(200) && wait_for_processes(instructions, tries - 10)
      [pid | _] -> cannot("a process of #{inspect(module_of(pid))} is busy")
    end
  end

  # A Task that does not end, because it accepts connections for example, goes on with what it has read from the old version.
  defp wait_for_tasks(changes, tries) do
    changed = Enum.flat_map(changes, fn {_, change} -> change.changed end)

    is_task = fn pid ->
      with {:current_stacktrace, stack} <- Process.info(pid, :current_stacktrace), do: Enum.any?(stack, &(elem(&1, 0) == Task.Supervised))
    end

    case Enum.find(Process.list(), &(module_of(&1) in changed and is_task.(&1) == true)) do
      nil -> :ok
      _ when tries > 0 -> Process.sleep(200) && wait_for_tasks(changes, tries - 1)
      pid -> cannot("a Task of #{inspect(module_of(pid))} does not end, and would go on with the old version")
    end
  end

  defp module_of(pid) do
    case Process.info(pid, :dictionary) do
      {:dictionary, dictionary} -> with {module, _, _} <- dictionary[:"$initial_call"], do: module
      nil -> nil
    end
  end

  # It is asked for something that costs nothing.
  defp answers?(pid) do
    :sys.log(pid, :get, 2000)
    true
  catch
    # One that has ended is not in the way.
    :exit, _ -> not Process.alive?(pid)
  end

  # Erlang can have two versions of a module at a time. What still runs that of the upgrade before gets ten seconds to end.
  defp wait_for_old_code(version, loaded, tries) do
    case check_old_code(version, loaded) do
      :ok ->
        :ok

      {:error, {:old_processes, _}} when tries > 0 ->
        Process.sleep(200)
        wait_for_old_code(version, loaded, tries - 1)

      {:error, {:old_processes, module}} ->
        cannot("a process still runs the code of #{inspect(module)} of two versions ago")

      {:error, reason} ->
        cannot(line(reason))
    end
  end

  defp check_old_code(version, loaded) do
    with {:ok, _, _} <- :release_handler.check_install_release(version, [:purge]) do
      module = Enum.find(loaded, &(not :code.soft_purge(&1)))
      if module, do: {:error, {:old_processes, module}}, else: :ok
    end
  end

  # Has release_handler know both releases. It reads that only when it starts.
  defp release_handler(running, target, scratch) do
    case :release_handler.create_RELEASES(c(running.folder), c(scratch), c(running.file), libs(running)) do
      :ok -> :ok
      {:error, reason} -> cannot(inspect(reason))
    end

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

  defp defaults(release, app), do: properties(release, app)[:env] || []

  # A release has a copy of each protocol that knows all its implementations.
  defp consolidated(release), do: Path.join([release.folder, "releases", release.version, "consolidated"])

  defp load_protocols(running, target) do
    :code.del_path(c(consolidated(running)))

    if File.dir?(consolidated(target)) do
      :code.add_patha(c(consolidated(target)))

      for {module, file} <- beams(consolidated(target)), loaded_code(module) != code(file) do
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

  # Erlang starts new apps in the order of their names, and does not say if that fails.
  defp start_added(running, target) do
    {:ok, [{:release, _, _, apps}]} = :file.consult(target.file)

    for spec <- apps, app = elem(spec, 0), running.apps[app] == nil, type(spec) not in [:none, :load] do
      case Application.ensure_all_started(app, type(spec)) do
        {:ok, _} -> :ok
        {:error, reason} -> cannot("the new app #{app} does not start: #{inspect(reason)}")
      end
    end
  end

  defp type(spec), do: if(tuple_size(spec) > 2 and is_atom(elem(spec, 2)), do: elem(spec, 2), else: :permanent)

  # The scripts of the new release read its cookie from its own folder, unless a variable sets it.
  defp set_cookie(running, target) do
    read = fn release ->
      with {:ok, cookie} <- File.read(Path.join(release.folder, "releases/COOKIE")), do: String.trim(cookie)
    end

    {old, new} = {read.(running), read.(target)}

    if Node.alive?() and is_binary(new) and old != new and Atom.to_string(Node.get_cookie()) == old do
      Node.set_cookie(String.to_atom(new))
      System.put_env("RELEASE_COOKIE", new)
    end
  end

  # The node runs the new code, and says so itself.
  defp check_code(target, changes) do
    for {app, change} <- changes do
      # An app that is not loaded has no version.
      if to_string(Application.spec(app, :vsn) || target.apps[app]) != target.apps[app] do
        cannot("the node still says that it runs #{app} #{Application.spec(app, :vsn)}")
      end

      for module <- change.added ++ change.changed, loaded_code(module) != code(Path.join(ebin(target, app), "#{module}.beam")) do
        protocol? = function_exported?(module, :__protocol__, 1)
        unless protocol?, do: cannot("the node still runs other code of #{inspect(module)}")
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
  defp line(text) when is_binary(text) do
    text = if String.valid?(text), do: text, else: inspect(text)
    text |> String.split("\n", trim: true) |> Enum.map_join(" ", &String.trim/1)
  end

  defp line(term) do
    line(to_string(term))
  rescue
    _ -> line(inspect(term))
  end
end
