defmodule Shop do
  @moduledoc """
  What the shop is about. ShopWeb shows it to visitors.
  """

  @doc "The version that runs."
  def version, do: to_string(Application.spec(:shop, :vsn))

  @doc "The names of all items."
  def items, do: Enum.map(Shop.Repo.query!("select name from items order by id").rows, &hd/1)
end
