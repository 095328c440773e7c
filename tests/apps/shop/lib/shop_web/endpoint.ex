defmodule ShopWeb.Endpoint do
  use Phoenix.Endpoint, otp_app: :shop

  socket "/live", Phoenix.LiveView.Socket, websocket: true

  plug Plug.Static,
    at: "/",
    from: :shop,
    gzip: false,
    only: ShopWeb.static_paths()

  plug ShopWeb.Router
end
