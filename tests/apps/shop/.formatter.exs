[
  locals_without_parens: [execute: 1, plug: 1, plug: 2, socket: 3],
  inputs: ["*.{ex,exs}", "{config,lib,test}/**/*.{ex,exs}", "priv/**/*.exs"]
]
