import Config

# The manifest that `mix phx.digest` writes: without it, files are linked to by their plain names.
config :shop, ShopWeb.Endpoint, cache_static_manifest: "priv/static/cache_manifest.json"

config :logger, level: :info

# What is known only where the app runs stands in config/runtime.exs.
