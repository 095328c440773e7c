defmodule Ecto.Repo do
  @moduledoc """
  A database that is asked through the program `psql`, and configured as Ecto's own repositories.
  """

  defmacro __using__(opts) do
    quote do
      @otp_app Keyword.fetch!(unquote(opts), :otp_app)
      @adapter Keyword.fetch!(unquote(opts), :adapter)

      def config,
        do: Application.get_env(@otp_app, __MODULE__, []) |> Keyword.put(:otp_app, @otp_app)

      def __adapter__, do: @adapter

      def child_spec(opts) do
        %{id: __MODULE__, start: {__MODULE__, :start_link, [opts]}, type: :supervisor}
      end

      def start_link(opts \\ []) do
        config = Keyword.merge(config(), opts)
        # Not connected yet: as the real one, it starts also while the database is down.
        Agent.start_link(fn -> config end, name: __MODULE__)
      end

      def stop, do: Agent.stop(__MODULE__)

      @doc "Runs SQL: `{:ok, %{rows: rows}}`, with columns as strings, or `{:error, exception}`."
      def query(sql) do
        unless Process.whereis(__MODULE__) do
          raise "could not lookup Ecto repo #{inspect(__MODULE__)} because it was not started"
        end

        @adapter.query(Agent.get(__MODULE__, & &1), sql)
      end

      def query!(sql) do
        case query(sql) do
          {:ok, result} -> result
          {:error, exception} -> raise exception
        end
      end
    end
  end
end
