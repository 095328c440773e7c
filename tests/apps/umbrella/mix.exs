defmodule Shop.Umbrella.MixProject do
  use Mix.Project

  def project do
    [
      apps_path: "apps",
      version: "0.1.0",
      start_permanent: Mix.env() == :prod,
      deps: deps(),
      aliases: aliases()
    ]
  end

  # What is needed here stands in the mix.exs of each app.
  defp deps do
    []
  end

  defp aliases do
    [
      # In each app.
      setup: ["cmd mix setup"]
    ]
  end
end
