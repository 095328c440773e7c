defmodule Phoenix.CodeReloader do
  @moduledoc """
  A child specification, as mix from Elixir 1.18 on wants it for `listeners:`. It listens to nothing.
  """

  def child_spec(_opts) do
    %{id: __MODULE__, start: {Agent, :start_link, [fn -> nil end]}}
  end
end
