defmodule Phoenix.MixProject do
  use Mix.Project

  def project do
    [app: :phoenix, version: "1.7.21", elixir: "~> 1.14", deps: []]
  end

  def application do
    [extra_applications: [:logger, :crypto]]
  end
end
