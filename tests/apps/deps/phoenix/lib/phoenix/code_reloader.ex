defmodule Phoenix.CodeReloader do
  @moduledoc """
  A listener, as mix from Elixir 1.18 on takes it. It does nothing with what it hears.
  """

  use GenServer

  def start_link(_opts), do: GenServer.start_link(__MODULE__, nil)

  @impl true
  def init(nil), do: {:ok, nil}

  @impl true
  def handle_info(_message, state), do: {:noreply, state}
end
