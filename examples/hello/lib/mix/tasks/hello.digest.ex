defmodule Mix.Tasks.Hello.Digest do
  @shortdoc "Copies assets/ into priv/static, with a digest in each name"

  @moduledoc """
  #{@shortdoc}.

      mix hello.digest

  A name that changes with the content can be cached for ever. Each file is there under its
  own name too, and `manifest.txt` tells which is which. What an earlier call left in
  `priv/static` is removed.
  """

  use Mix.Task

  @source "assets"
  @target "priv/static"

  @impl true
  def run(_args) do
    File.rm_rf!(@target)
    File.mkdir_p!(@target)

    manifest = for name <- Enum.sort(File.ls!(@source)), do: [name, " ", digest(name), "\n"]
    File.write!(Path.join(@target, "manifest.txt"), manifest)

    Mix.shell().info("Digested #{length(manifest)} files into #{@target}")
  end

  defp digest(name) do
    content = File.read!(Path.join(@source, name))
    digested = "#{Path.rootname(name)}-#{fingerprint(content)}#{Path.extname(name)}"

    for name <- [name, digested], do: File.write!(Path.join(@target, name), content)
    Mix.shell().info("#{Path.join(@source, name)} -> #{Path.join(@target, digested)}")

    digested
  end

  defp fingerprint(content) do
    content |> :erlang.md5() |> Base.encode16(case: :lower)
  end
end
