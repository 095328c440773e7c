defmodule Hello do
  @moduledoc """
  A web app that says which version of it is serving.
  """

  # Compiled in, so an answer tells which build is running, not which one lies on the disk.
  @version Mix.Project.config()[:version]

  @doc "The version in mix.exs when the app was compiled."
  def version, do: @version
end
