# One Elixir that runs one mix task after the other, each as a start of `mix` runs it. Between two
# tasks everything that the first one started, loaded or set is stopped, unloaded and put back; where
# that can't be done, the session ends and the next task gets a new one. So a task finds what a new
# start of mix finds, and reads the project anew.
#
# The other end is mix/session.rs. A task that fails isn't caught: it ends this process as it ends mix,
# with the same message and exit status.
defmodule Gatling.Session do
  @moduledoc false

  # How long it waits for the next task, in milliseconds. Its memory is needed when the app starts.
  @idle 10_000
  # How long putting everything back may take, in milliseconds.
  @patience 3_000

  def main(path) do
    {:ok, channel} = :gen_tcp.connect({:local, path}, 0, [:binary, packet: 4, active: false])
    serve(channel, look())
  end

  defp serve(channel, begun) do
    case :gen_tcp.recv(channel, 0, @idle) do
      {:ok, request} ->
        [marker | args] = String.split(request, <<0>>)
        :ok = :gen_tcp.send(channel, "begun")
        run(args)

        # Elixir's own end of a start is what such a task wants.
        if :elixir_config.get(:at_exit) == [] and not System.no_halt() do
          report(marker)
          if reset(begun), do: serve(channel, begun), else: System.halt(0)
        end

      # Nothing more is to be done, or Gatling is gone.
      {:error, _} ->
        System.halt(0)
    end
  end

  # In a process of its own: what is linked to it, and its ports, end with it.
  defp run(args) do
    parent = self()

    {pid, ref} =
      spawn_monitor(fn ->
        result =
          try do
            # What mix.exs sees of the command line is what it would see without Gatling.
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

      # It was linked to something that crashed.
      {:DOWN, ^ref, _, _, reason} ->
        Process.exit(self(), reason)
    end
  end

  # After all that the task wrote: each of the two outputs keeps its order.
  defp report(marker) do
    if :logger in started(), do: Logger.flush()
    for device <- [:stdio, :stderr], do: IO.binwrite(device, ["\n", marker, "\n"])
  end

  # Puts everything back, and says whether that was possible.
  defp reset(begun) do
    session = self()
    {pid, ref} = spawn_monitor(fn -> exit({:is_as_begun, restore(begun) and as_begun?(begun, session)}) end)

    receive do
      {:DOWN, ^ref, _, ^pid, {:is_as_begun, answer}} -> answer
      {:DOWN, ^ref, _, ^pid, _} -> false
    after
      @patience -> false
    end
  end

  defp look do
    %{
      started: started(),
      loaded: loaded(),
      settings: settings(),
      code_path: :code.get_path(),
      # The task that tells facts is there for the first task only.
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
    # It would tell of each application that it stopped.
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

    # Erlang's logger keeps some of its own there.
    for key <- terms() -- begun.terms, not match?({module, _} when module in [:logger_config, :logger_olp], key) do
      :persistent_term.erase(key)
    end

    :code.set_path(begun.code_path)
    unload_modules(begun)
  end

  # All but those of Elixir and Erlang, which no task changes. Says whether none is in use.
  defp unload_modules(begun) do
    installed = [:code.root_dir(), Path.dirname(:code.lib_dir(:elixir))]
    installed = Enum.map(installed, &(to_string(&1) <> "/"))

    Enum.all?(:code.all_loaded(), fn {module, file} = loaded ->
      file == :preloaded or MapSet.member?(begun.modules, loaded) or
        (file != [] and String.starts_with?(to_string(file), installed)) or unload(module)
    end)
  end

  # One with native code keeps more than the VM knows of.
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

  # What was stopped may take a moment to be gone.
  defp left_running(own, begun, tries) do
    case for pid <- Process.list() -- (own ++ begun.processes), left?(pid, begun), do: pid do
      [_ | _] when tries > 0 ->
        Process.sleep(10)
        left_running(own, begun, tries - 1)

      left ->
        left
    end
  end

  # Erlang starts some of its own when they are needed.
  defp left?(pid, begun) do
    Process.alive?(pid) and
      case :application.get_application(pid) do
        {:ok, app} -> app not in begun.started
        :undefined -> true
      end
  end
end
