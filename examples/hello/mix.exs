defmodule Hello.MixProject do
  use Mix.Project

  @version "0.1.0"

  def project do
    [
      app: :hello,
      version: @version,
      elixir: "~> 1.14",
      start_permanent: Mix.env() == :prod,
      aliases: aliases(),
      deps: []
    ]
  end

  def application do
    [extra_applications: [:logger], mod: {Hello.Application, []}]
  end

  # Gatling's step mix_digest runs this alias, as it does in a Phoenix app.
  defp aliases do
    ["assets.deploy": ["hello.digest"]]
  end
end
