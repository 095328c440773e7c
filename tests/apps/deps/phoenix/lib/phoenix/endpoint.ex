defmodule Phoenix.Endpoint do
  @moduledoc """
  An HTTP server that is configured as Phoenix's own is, and that small.

  The configuration is read when the endpoint starts: what is set later has no effect. `:force_ssl` is
  compiled in.
  """

  defmacro __using__(opts) do
    quote do
      import Phoenix.Endpoint, only: [plug: 1, plug: 2, socket: 3]
      Module.register_attribute(__MODULE__, :plugs, accumulate: true)
      Module.register_attribute(__MODULE__, :sockets, accumulate: true)
      @before_compile Phoenix.Endpoint

      @otp_app Keyword.fetch!(unquote(opts), :otp_app)
      @force_ssl Application.compile_env(@otp_app, [__MODULE__, :force_ssl], false)

      def child_spec(_opts) do
        %{id: __MODULE__, start: {__MODULE__, :start_link, []}, type: :supervisor}
      end

      def start_link, do: Phoenix.Endpoint.Supervisor.start_link(__MODULE__)

      def config(key, default \\ nil) do
        Keyword.get(:persistent_term.get(__MODULE__, []), key, default)
      end

      @doc "The host name under which visitors know the app."
      def host, do: Keyword.get(config(:url, []), :host, "localhost")

      @doc "The path of a file of priv/static, with its digest where `mix phx.digest` has run."
      def static_path(path), do: Phoenix.Endpoint.Static.path(__MODULE__, path)

      def __otp_app__, do: @otp_app
      def __force_ssl__, do: @force_ssl
    end
  end

  defmacro __before_compile__(_env) do
    quote do
      def __plugs__, do: Enum.reverse(@plugs)
      def __sockets__, do: @sockets
    end
  end

  @doc "Has requests answered by `Plug.Static` with its options, or by a router of the app's own."
  defmacro plug(module, opts \\ []) do
    quote do
      @plugs {unquote(module), unquote(opts)}
    end
  end

  @doc "Takes WebSocket connections at `path` <> \"/websocket\"."
  defmacro socket(path, module, opts) do
    quote do
      @sockets {unquote(path) <> "/websocket", unquote(module), unquote(opts)}
    end
  end
end
