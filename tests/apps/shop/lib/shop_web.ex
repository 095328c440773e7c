defmodule ShopWeb do
  @moduledoc """
  What visitors see of the shop.
  """

  def static_paths, do: ~w(assets fonts images favicon.ico robots.txt)
end
