defmodule Hello.Router do
  @moduledoc """
  What the app answers: a status and a body in plain text for a method and a path.
  """

  @doc "The answer to one request."
  def call(method, path) when method in [:GET, :HEAD], do: route(path)
  def call(_method, _path), do: {405, "only GET and HEAD\n"}

  defp route("/"), do: {200, "hello #{Hello.version()}\n"}
  defp route("/health"), do: {200, "ok\n"}
  defp route("/assets/" <> name), do: asset(name)
  defp route(_path), do: {404, "not found\n"}

  # A name is served only when it is in the list, so none can lead out of the folder.
  defp asset(name) do
    folder = Application.app_dir(:hello, "priv/static")

    with {:ok, names} <- File.ls(folder),
         true <- name in names,
         {:ok, content} <- File.read(Path.join(folder, name)) do
      {200, content}
    else
      _ -> {404, "not found\n"}
    end
  end
end
