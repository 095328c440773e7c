defmodule Mix.Tasks.Phx.Digest do
  @shortdoc "Digests and compresses static files"
  @moduledoc """
  Copies each file of priv/static to a name with a digest of its content, writes a `.gz` beside what
  is worth it, and a manifest of all.
  """

  use Mix.Task

  @recursive true
  @root "priv/static"
  @compressible ~w(.css .html .js .json .svg .txt)

  @impl true
  def run(args) do
    unless "--no-compile" in args, do: Mix.Task.run("compile", args)

    if File.dir?(@root) do
      latest = Map.new(files(), &{Path.relative_to(&1, @root), digest(&1)})
      File.write!(Path.join(@root, "cache_manifest.json"), manifest(latest))
      Mix.shell().info([:green, "Check your digested files at #{inspect(@root)}"])
    else
      Mix.shell().error("The input path #{inspect(@root)} does not exist")
    end
  end

  # Not what an earlier call has written.
  defp files do
    (@root <> "/**/*")
    |> Path.wildcard()
    |> Enum.filter(&File.regular?/1)
    |> Enum.reject(&(&1 =~ ~r/(-[0-9a-f]{32}\.[^\/]+|\.gz|cache_manifest\.json)$/))
  end

  defp digest(file) do
    content = File.read!(file)
    hash = Base.encode16(:erlang.md5(content), case: :lower)
    extension = Path.extname(file)
    digested = "#{Path.rootname(file)}-#{hash}#{extension}"
    File.write!(digested, content)

    if extension in @compressible do
      for name <- [file, digested], do: File.write!(name <> ".gz", :zlib.gzip(content))
    end

    Path.relative_to(digested, @root)
  end

  defp manifest(latest) do
    lines =
      Enum.map_join(Enum.sort(latest), ",\n", fn {from, to} ->
        "    #{inspect(from)}: #{inspect(to)}"
      end)

    "{\n  \"version\": 1,\n  \"latest\": {\n#{lines}\n  }\n}\n"
  end
end
