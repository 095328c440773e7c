defmodule EctoSQL.MixProject do
  use Mix.Project

  def project do
    [app: :ecto_sql, version: "3.12.1", elixir: "~> 1.14", deps: []]
  end

  def application do
    [extra_applications: [:logger]]
  end
end
