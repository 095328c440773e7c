defmodule Esbuild.MixProject do
  use Mix.Project

  def project do
    [app: :esbuild, version: "0.10.0", elixir: "~> 1.14", deps: []]
  end
end
