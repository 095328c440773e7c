# A process that runs several mix tasks in turn, each as if `mix` had been started for it. Between two tasks,
# everything that the first one started, loaded or set is stopped, unloaded and reset; if that is not
# possible, the session ends and the next task gets a new one. So a task runs in the same state as after a
# new start of mix, and reads the project again.
#
# mix/session.rs controls it. A failing task is not caught: it ends this process as it would end mix, with
# the same message and exit status.
defmodule Gatling.Session do
  @moduledoc false

  # How long it waits for the next task, in milliseconds. The app needs the memory when it starts.
  @idle_timeout 10_000
  # How long the reset between two tasks may take, in milliseconds.
  @reset_timeout 3_000

  def main(path) do
    {:ok, channel} = :gen_tcp.connect({:local, path}, 0, [:binary, packet: 4, active: false])
    serve(channel, state())
  end

  defp serve(channel, begun) do
    case :gen_tcp.recv(channel, 0, @idle_timeout) do
      {:ok, request} ->
        [marker | args] = String.split(request, <<0>>)
        :ok = :gen_tcp.send(channel, "begun")
        run(args)

        # With an `at_exit` callback or `--no-halt`, Elixir itself must end this process.
        if :elixir_config.get(:at_exit) == [] and not System.no_halt() do
          report(marker)
          if reset(begun), do: serve(channel, begun), else: System.halt(0)
        end

      # No more tasks, or Gatling has exited.
      {:error, _} ->
        System.halt(0)
    end
  end

  # Runs a task in its own process: linked processes and ports end with it.
  defp run(args) do
    parent = self()

    {pid, ref} =
      spawn_monitor(fn ->
        result =
          try do
            # mix.exs sees the same command line as without Gatling.
            System.argv(args -- ["gatling.facts"])
            Mix.start()
            Mix.CLI.main(args)
            :ok
          catch
            kind, reason -> {kind, reason, __STACKTRACE__}
          end

        send(parent, {self(), result})
      end)

    receive do
      {^pid, :ok} ->
        Process.demonitor(ref, [:flush])

      {^pid, {kind, reason, stacktrace}} ->
        :erlang.raise(kind, reason, Enum.reject(stacktrace, &(elem(&1, 0) == __MODULE__)))

      # A linked process crashed.
      {:DOWN, ^ref, _, _, reason} ->
        Process.exit(self(), reason)
    end
  end

  # Marks the end of the task's output, on both outputs.
  defp report(marker) do
    if :logger in started(), do: Logger.flush()
    for device <- [:stdio, :stderr], do: IO.binwrite(device, ["\n", marker, "\n"])
  end

  # Resets everything, and returns whether that was possible.
  defp reset(begun) do
    session = self()
    {pid, ref} = spawn_monitor(fn -> exit({:is_as_begun, restore(begun) and as_begun?(begun, session)}) end)

    receive do
      {:DOWN, ^ref, _, ^pid, {:is_as_begun, answer}} -> answer
      {:DOWN, ^ref, _, ^pid, _} -> false
    after
      @reset_timeout -> false
    end
  end

  defp state do
    %{
      started: started(),
      loaded: loaded(),
      settings: settings(),
      code_path: :code.get_path(),
      # The task that prints facts is only needed once.
      modules: for({module, _} = loaded <- :code.all_loaded(), module != Mix.Tasks.Gatling.Facts, into: MapSet.new(), do: loaded),
      compiler: Code.compiler_options(),
      variables: System.get_env(),
      folder: File.cwd!(),
      terms: terms(),
      logger: :logger.get_config(),
      signals: :gen_event.which_handlers(:erl_signal_server),
      processes: Process.list()
    }
  end

  defp started, do: for({app, _, _} <- Application.started_applications(), do: app)
  defp loaded, do: for({app, _, _} <- Application.loaded_applications(), do: app)
  defp terms, do: for({key, _} <- :persistent_term.get(), do: key)

  # The settings of all applications, loaded or not.
  defp settings, do: Map.new(:ets.match_object(:ac_tab, {{:env, :_, :_}, :_}))

  defp restore(begun) do
    # The logger would report every application that stops.
    level = :logger.get_primary_config().level
    :logger.set_primary_config(:level, :none)
    for app <- started() -- begun.started, do: Application.stop(app)
    :logger.set_primary_config(:level, level)
    for app <- loaded() -- begun.loaded, do: Application.unload(app)

    for {{:env, app, key} = setting, _} <- settings(), not is_map_key(begun.settings, setting) do
      Application.delete_env(app, key, persistent: true)
    end

    for {{:env, app, key}, value} <- begun.settings, Application.fetch_env(app, key) != {:ok, value} do
      Application.put_env(app, key, value)
    end

    for {name, _} <- System.get_env(), not is_map_key(begun.variables, name), do: System.delete_env(name)
    System.put_env(begun.variables)
    System.argv([])
    File.cd!(begun.folder)
    for {name, value} <- begun.compiler, Code.get_compiler_option(name) != value, do: Code.put_compiler_option(name, value)

    # Erlang's logger stores some of its own terms there.
    for key <- terms() -- begun.terms, not match?({module, _} when module in [:logger_config, :logger_olp], key) do
      :persistent_term.erase(key)
    end

    :code.set_path(begun.code_path)
    unload_modules(begun)
  end

  # Unloads all modules except those of Elixir and Erlang, which no task changes. Returns whether none of
  # them is still in use.
  defp unload_modules(begun) do
    installed = [:code.root_dir(), Path.dirname(:code.lib_dir(:elixir))]
    installed = Enum.map(installed, &(to_string(&1) <> "/"))

    Enum.all?(:code.all_loaded(), fn {module, file} = loaded ->
      file == :preloaded or MapSet.member?(begun.modules, loaded) or
        (file != [] and String.starts_with?(to_string(file), installed)) or unload(module)
    end)
  end

  # A module with native code can have state that the VM does not know.
  defp unload(module) do
    module.module_info(:nifs) == [] and :code.soft_purge(module) and :code.delete(module) and
      :code.soft_purge(module)
  end

  defp as_begun?(begun, session) do
    Enum.sort(started()) == Enum.sort(begun.started) and Enum.sort(loaded()) == Enum.sort(begun.loaded) and
      settings() == begun.settings and :code.get_path() == begun.code_path and
      Code.compiler_options() == begun.compiler and System.get_env() == begun.variables and
      :logger.get_config() == begun.logger and
      :gen_event.which_handlers(:erl_signal_server) == begun.signals and
      left_running([session, self()], begun, 50) == []
  end

  # Stopped processes may take a moment to exit.
  defp left_running(own, begun, tries) do
    case for pid <- Process.list() -- (own ++ begun.processes), left?(pid, begun), do: pid do
      [_ | _] when tries > 0 ->
        Process.sleep(10)
        left_running(own, begun, tries - 1)

      left ->
        left
    end
  end

  # Erlang starts some of its own processes when it needs them.
  defp left?(pid, begun) do
    Process.alive?(pid) and
      case :application.get_application(pid) do
        {:ok, app} -> app not in begun.started
        :undefined -> true
      end
  end
end
