# Counts what visitors get from a Phoenix app, while its new release is watched. The init script has the running node evaluate
# this file. The last line of its answer is "errors: N of M answers" as soon as there are too many, otherwise "visitors got M answers,
# N of them errors", or "unknown: WHY" if the app does not say what it answers.

defmodule Gatling.Soak do
  # Plug.Telemetry says it at the end of each request.
  @event [:phoenix, :endpoint, :stop]
  @handler "gatling-soak"
  @least_errors 5

  def watch(seconds, percent) do
    if Code.ensure_loaded?(:telemetry) do
      counter = :counters.new(2, [])
      # Compiled without a warning also where the app has none.
      _ = apply(:telemetry, :detach, [@handler])
      :ok = apply(:telemetry, :attach, [@handler, @event, &__MODULE__.count/4, counter])

      try do
        wait(counter, percent, System.monotonic_time(:millisecond) + 1000 * seconds)
      after
        apply(:telemetry, :detach, [@handler])
      end
    else
      IO.puts("unknown: the app has no telemetry")
    end
  end

  def count(_event, _measurements, %{conn: %{status: status}}, counter) do
    :counters.add(counter, 1, 1)
    if is_integer(status) and status >= 500, do: :counters.add(counter, 2, 1)
  end

  def count(_event, _measurements, _metadata, _counter), do: :ok

  defp wait(counter, percent, deadline) do
    {all, errors} = {:counters.get(counter, 1), :counters.get(counter, 2)}

    cond do
      errors >= @least_errors and 100 * errors > percent * all -> IO.puts("errors: #{errors} of #{all} answers")
      System.monotonic_time(:millisecond) >= deadline -> IO.puts("visitors got #{all} answers, #{errors} of them errors")
      true -> Process.sleep(100) && wait(counter, percent, deadline)
    end
  end
end
