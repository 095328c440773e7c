defmodule Ecto.Migration do
  @moduledoc """
  What a migration is written with: `execute "SQL"`.
  """

  defmacro __using__(_opts) do
    quote do
      import Ecto.Migration
    end
  end

  @doc "Runs SQL when the migration's function has returned, in one transaction with what else it runs."
  def execute(sql) do
    Process.put(__MODULE__, [sql | Process.get(__MODULE__, [])])
    :ok
  end

  @doc false
  def commands(module, function) do
    Process.delete(__MODULE__)
    apply(module, function, [])
    Enum.reverse(Process.delete(__MODULE__) || [])
  end
end
