//! The app: made by Phoenix's own generator, with a page that shows which version serves.

use std::fs;

use anyhow::{Context, Result};
use gatling_tests::{Output, Project, Sandbox};

use super::{HOSTS, Release, Variant};

/// A page with the version, and with a counter that needs its WebSocket.
const COUNTER: &str = r#"defmodule ShopWeb.CounterLive do
  use ShopWeb, :live_view

  @impl true
  def mount(params, _session, socket) do
    # A page that takes its time.
    if not connected?(socket), do: Process.sleep(1000 * String.to_integer(params["seconds"] || "0"))
    socket_state = if connected?(socket), do: "live", else: "static"
    {:ok, assign(socket, count: 0, version: to_string(Application.spec(:APP, :vsn)), socket_state: socket_state)}
  end

  @impl true
  def render(assigns) do
    ~H"""
    <div class="p-10">
      <h1 id="version" class="text-3xl font-bold">shop <%= @version %></h1>
      <p>The page is <span id="socket"><%= @socket_state %></span>.</p>
      <p>Count: <span id="count"><%= @count %></span></p>
      <button id="plus" class="mt-4 rounded bg-green-700 px-4 py-2 text-white" phx-click="plus">+</button>
    </div>
    """
  end

  @impl true
  def handle_event("plus", _params, socket) do
    {:noreply, update(socket, :count, &(&1 + 1))}
  end
end
"#;

/// Takes an upload of any size.
const UPLOAD: &str = r##"defmodule ShopWeb.UploadController do
  use ShopWeb, :controller

  def create(conn, _params) do
    {size, conn} = count(conn, 0)
    text(conn, "#{size} bytes to #{Application.spec(:APP, :vsn)}")
  end

  defp count(conn, size) do
    case Plug.Conn.read_body(conn) do
      {:more, part, conn} -> count(conn, size + byte_size(part))
      {:ok, part, conn} -> {size + byte_size(part), conn}
    end
  end
end
"##;

/// Where the generator puts the page of an app that was just made.
const HOME_ROUTE: &str = "get \"/\", PageController, :home";

/// What is made.
#[derive(Clone, Copy)]
pub(crate) struct App {
    /// By which generator.
    pub(crate) release: Release,
    /// With which options.
    pub(crate) variant: Variant,
}

impl App {
    /// Runs `mix phx.new shop`, and `mix deps.get` as the generator tells to.
    pub(crate) fn generate<'s>(&self, sandbox: &'s Sandbox) -> Result<Project<'s>> {
        let project = sandbox.empty_project("shop");
        let work = project.dir().parent().context("a project's folder has a parent")?;
        let mut mix = sandbox.command("mix", work);
        mix.args(["phx.new", "shop", "--no-install"]).args(self.variant.options());
        Output::of(&mut mix)?.expect_success()?;
        if self.variant == Variant::Umbrella {
            // The generator gives the folder this name; the repository may have any.
            fs::rename(work.join("shop_umbrella"), project.dir())?;
        }
        Output::of(sandbox.command("mix", project.dir()).args(["deps.get"]))?.expect_success()?;
        Ok(project)
    }

    /// Adds what the rest wants to see, and makes the repository.
    pub(crate) fn complete(&self, project: &Project<'_>) -> Result<()> {
        let web = self.web_folder();
        let app = if self.variant == Variant::Umbrella { ":shop_web" } else { ":shop" };
        for (file, text) in [("live/counter_live.ex", COUNTER), ("controllers/upload_controller.ex", UPLOAD)] {
            project.write(&format!("{web}lib/shop_web/{file}"), &text.replace(":APP", app))?;
        }
        let upload = "scope \"/\", ShopWeb do\n    post \"/upload\", UploadController, :create\n  end\n\n  scope \"/\", ShopWeb do";
        project.replace(&format!("{web}lib/shop_web/router.ex"), "scope \"/\", ShopWeb do", upload)?;
        let routes = format!("{HOME_ROUTE}\n    live \"/counter\", CounterLive");
        project.replace(&format!("{web}lib/shop_web/router.ex"), HOME_ROUTE, &routes)?;
        if self.has_database() {
            self.add_migration(project, "create_items", "create table(:items), do: add(:name, :string)")?;
        }
        project.write("domains", &HOSTS.map(|host| format!("{host}\n")).concat())?;
        project.make_repository("A new app")
    }

    /// Adds a migration, which must be named after the others in the alphabet.
    pub(crate) fn add_migration(&self, project: &Project<'_>, name: &str, change: &str) -> Result<()> {
        let module: String = name.split('_').map(|word| word[..1].to_uppercase() + &word[1..]).collect();
        let folder = format!("{}priv/repo/migrations", self.domain_folder());
        let count = fs::read_dir(project.dir().join(&folder)).map_or(0, Iterator::count);
        project.write(
            &format!("{folder}/{}_{name}.exs", 20_260_101_000_000 + count),
            &format!(
                "defmodule Shop.Repo.Migrations.{module} do\n  use Ecto.Migration\n\n  def change do\n    \
                 {change}\n  end\nend\n"
            ),
        )
    }

    /// Removes a migration again.
    pub(crate) fn remove_migration(&self, project: &Project<'_>, name: &str) -> Result<()> {
        let folder = format!("{}priv/repo/migrations", self.domain_folder());
        let files = fs::read_dir(project.dir().join(&folder))?.flatten();
        let mut names = files.filter_map(|file| file.file_name().into_string().ok());
        let file = names.find(|file| file.ends_with(&format!("_{name}.exs")));
        project.remove(&format!("{folder}/{}", file.with_context(|| format!("there is no migration {name}"))?))
    }

    /// Changes the page of the counter.
    pub(crate) fn change_counter(&self, project: &Project<'_>, old: &str, new: &str) -> Result<()> {
        project.replace(&format!("{}lib/shop_web/live/counter_live.ex", self.web_folder()), old, new)
    }

    /// Sets the version, in an umbrella that of every app.
    pub(crate) fn set_version(&self, project: &Project<'_>, version: &str) -> Result<()> {
        project.set_version(version)?;
        if self.variant == Variant::Umbrella {
            for app in ["shop", "shop_web"] {
                project.set_version_in(&format!("apps/{app}/mix.exs"), version)?;
            }
        }
        Ok(())
    }

    /// Whether it has a database.
    pub(crate) fn has_database(&self) -> bool {
        matches!(self.variant, Variant::Default | Variant::Umbrella)
    }

    /// Whether it has styles and scripts, without which no LiveView connects.
    pub(crate) fn has_assets(&self) -> bool {
        self.variant != Variant::NoAssets
    }

    fn web_folder(&self) -> &'static str {
        if self.variant == Variant::Umbrella { "apps/shop_web/" } else { "" }
    }

    fn domain_folder(&self) -> &'static str {
        if self.variant == Variant::Umbrella { "apps/shop/" } else { "" }
    }
}
