//! A project like those of `mix phx.new`, with a database, and methods to change it.

use std::fs;
use std::ops::Deref;
use std::process::Command;

use anyhow::{Context, Result};

use crate::{HOST, Output, Postgres, Project, Sandbox};

/// A secret that is long enough to sign sessions.
const SECRET_KEY_BASE: &str = "a secret of this test alone, which is at least as long as 64 bytes";

/// The lines that phx.new writes into config/prod.exs since 1.8.
const FORCE_SSL: &str = "
config :shop, ShopWeb.Endpoint,
  force_ssl: [
    rewrite_on: [:x_forwarded_proto],
    exclude: [
      hosts: [\"localhost\", \"127.0.0.1\"]
    ]
  ]
";

/// The moves that turn the app into an umbrella.
const UMBRELLA_MOVES: [(&str, &str); 7] = [
    ("lib/shop.ex", "apps/shop/lib/shop.ex"),
    ("lib/shop", "apps/shop/lib/shop"),
    ("priv/repo", "apps/shop/priv/repo"),
    ("lib/shop_web.ex", "apps/shop_web/lib/shop_web.ex"),
    ("lib/shop_web", "apps/shop_web/lib/shop_web"),
    ("priv/static", "apps/shop_web/priv/static"),
    ("assets", "apps/shop_web/assets"),
];

/// The app `shop`. Each of the methods `with_...` and `as_...` makes a commit of its change.
pub struct PhoenixApp<'s> {
    project: Project<'s>,
}

impl<'s> PhoenixApp<'s> {
    pub(crate) fn new(sandbox: &'s Sandbox) -> Result<Self> {
        let project = Project::without_files(sandbox, "shop");
        project.copy("tests/apps/shop", "", &[])?;
        // In the repository, so that a push includes them.
        project.copy("tests/apps/deps", "vendor", &["_build"])?;
        project.write("domains", &format!("{HOST}\n"))?;
        project.make_repository("An app as it was generated")?;
        Ok(Self { project })
    }

    /// The app's variables without a default: `DATABASE_URL`, for a database with the app's name, and
    /// `SECRET_KEY_BASE`.
    pub fn variables(&self, postgres: &Postgres) -> [(&'static str, String); 2] {
        [("DATABASE_URL", postgres.url("shop")), ("SECRET_KEY_BASE", SECRET_KEY_BASE.to_owned())]
    }

    /// Sets [`Self::variables`] in the project's `.env` with `gatling config`. The release has no node name, so that
    /// no epmd is left running.
    pub fn configure(&self, postgres: &Postgres) -> Result<()> {
        let variables = self.variables(postgres).map(|(name, value)| format!("{name}={value}"));
        let mut arguments = vec!["config", "set", self.name(), "RELEASE_DISTRIBUTION=none"];
        arguments.extend(variables.iter().map(String::as_str));
        self.sandbox().run(&arguments)?.expect_success()?;
        Ok(())
    }

    /// Like [`Self::configure`], for an app without a database.
    pub fn configure_without_database(&self) -> Result<()> {
        self.sandbox().run(&["config", "set", self.name(), "RELEASE_DISTRIBUTION=none"])?.expect_success()?;
        Ok(())
    }

    /// A command that runs `mix` with `args` in the project, for production.
    pub fn mix_command(&self, args: &[&str]) -> Command {
        let mut command = self.sandbox().command("mix", self.dir());
        command.args(args).env("MIX_ENV", "prod");
        command
    }

    /// Runs `mix` with `args` in the project, for production. Fails if mix fails.
    pub fn mix(&self, args: &[&str]) -> Result<Output> {
        Output::of(&mut self.mix_command(args))?.expect_success().with_context(|| format!("mix {}", args.join(" ")))
    }

    /// Sets the version; in an umbrella, also that of every app.
    pub fn set_version(&self, version: &str) -> Result<()> {
        self.project.set_version(version)?;
        if self.is_umbrella() {
            for app in ["shop", "shop_web"] {
                self.set_version_in(&format!("apps/{app}/mix.exs"), version)?;
            }
        }
        Ok(())
    }

    /// Adds a migration that runs `sql`, after the existing ones. Does not commit it.
    pub fn add_migration(&self, name: &str, sql: &str) -> Result<()> {
        let folder = self.dir().join(self.domain_app()).join("priv/repo/migrations");
        let count = fs::read_dir(&folder)?.count();
        let module: String = name.split('_').map(capitalized).collect();
        self.write(
            &format!("{}priv/repo/migrations/{}_{name}.exs", self.domain_app(), 20_260_101_000_000_u64 + count as u64),
            &format!(
                "defmodule Shop.Repo.Migrations.{module} do\n  use Ecto.Migration\n\n  def change do\n    \
                 execute ~S\"\"\"\n    {sql}\n    \"\"\"\n  end\nend\n"
            ),
        )
    }

    /// Adds `listeners: [Phoenix.CodeReloader]`, as phx.new writes it since 1.8.
    pub fn with_listeners(self) -> Result<Self> {
        self.add_to_project("listeners: [Phoenix.CodeReloader]")?;
        self.committed("Listeners")
    }

    /// Redirects requests to https, as phx.new configures it since 1.8.
    pub fn with_force_ssl(self) -> Result<Self> {
        let app = if self.is_umbrella() { ":shop_web, ShopWeb" } else { ":shop, ShopWeb" };
        let text = self.read("config/prod.exs")?;
        self.write("config/prod.exs", &(text + &FORCE_SSL.replace(":shop, ShopWeb", app)))?;
        self.committed("https only")
    }

    /// Adds `releases: [...]` with this text in the brackets, such as `shop: [applications: [shop: :permanent]]`.
    pub fn with_releases(self, releases: &str) -> Result<Self> {
        self.add_to_project(&format!("releases: [{releases}]"))?;
        self.committed("Releases")
    }

    /// Adds the files of `mix phx.gen.release`: `bin/migrate` and `bin/server` for the release, and the module that
    /// migrates.
    pub fn with_release_overlays(self) -> Result<Self> {
        self.copy("tests/apps/release_overlays/rel", "rel", &[])?;
        self.copy("tests/apps/release_overlays/lib", &format!("{}lib", self.domain_app()), &[])?;
        self.committed("What phx.gen.release writes")
    }

    /// Turns it into an umbrella of the apps `shop` and `shop_web`, like `mix phx.new --umbrella`: its root has no
    /// `app:` and no `releases:`, which `mix release` requires there. Call it before the methods that change mix.exs,
    /// because it overwrites that file.
    pub fn as_umbrella(self) -> Result<Self> {
        for (from, to) in UMBRELLA_MOVES {
            let to = self.dir().join(to);
            fs::create_dir_all(to.parent().context("every target has a parent")?)?;
            fs::rename(self.dir().join(from), to).with_context(|| format!("moving {from}"))?;
        }
        self.copy("tests/apps/umbrella", "", &[])?;
        for file in ["config/config.exs", "config/dev.exs", "config/prod.exs", "config/runtime.exs"] {
            let text = self.read(file)?.replace(":shop, ShopWeb.Endpoint", ":shop_web, ShopWeb.Endpoint");
            self.write(file, &text)?;
        }
        self.replace(
            "config/config.exs",
            "config :shop_web",
            "config :shop_web, ecto_repos: [Shop.Repo], generators: [context_app: :shop]\n\nconfig :shop_web",
        )?;
        let endpoint = "apps/shop_web/lib/shop_web/endpoint.ex";
        self.replace(endpoint, "otp_app: :shop", "otp_app: :shop_web")?;
        self.replace(endpoint, "from: :shop", "from: :shop_web")?;
        let ignored = self.read(".gitignore")?.replace("/priv/", "/apps/shop_web/priv/");
        self.write(".gitignore", &ignored)?;
        self.committed("An umbrella")
    }

    /// Removes the database, as `mix phx.new --no-ecto` does. Not for an umbrella.
    pub fn without_ecto(self) -> Result<Self> {
        for folder in ["priv/repo", "vendor/ecto_sql"] {
            fs::remove_dir_all(self.dir().join(folder))?;
        }
        self.remove("lib/shop/repo.ex")?;
        self.cut("mix.exs", "      {:ecto_sql", "      {:esbuild")?;
        self.cut("mix.exs", "      \"ecto.setup\":", "      \"assets.build\"")?;
        self.replace("mix.exs", "\"ecto.setup\", ", "")?;
        self.cut("config/config.exs", "  ecto_repos:", "  generators:")?;
        self.cut("config/dev.exs", "config :shop, Shop.Repo", "config :shop, ShopWeb")?;
        self.cut("config/runtime.exs", "  database_url =", "  secret_key_base =")?;
        self.cut("lib/shop/application.ex", "      Shop.Repo,", "      ShopWeb")?;
        self.cut("lib/shop.ex", "\n  @doc \"The names", "end\n")?;
        self.cut("lib/shop_web/router.ex", "  defp route(\"/health\")", "  # Takes")?;
        self.replace(
            "lib/shop_web/router.ex",
            "  # Takes",
            "  defp route(\"/health\"), do: {200, @text, \"ok\\n\"}\n\n  # Takes",
        )?;
        self.committed("No database")
    }

    /// Adds a setting to `project` in mix.exs.
    fn add_to_project(&self, setting: &str) -> Result<()> {
        self.replace("mix.exs", "      deps: deps()", &format!("      {setting},\n      deps: deps()"))
    }

    fn is_umbrella(&self) -> bool {
        self.dir().join("apps").is_dir()
    }

    /// The folder of the app with the database, with a final slash; empty if that is the project's root.
    fn domain_app(&self) -> &'static str {
        if self.is_umbrella() { "apps/shop/" } else { "" }
    }

    fn committed(self, message: &str) -> Result<Self> {
        self.commit(message)?;
        Ok(self)
    }

    /// Removes the text from the first `from` up to the next `until`.
    fn cut(&self, path: &str, from: &str, until: &str) -> Result<()> {
        let text = self.read(path)?;
        let found = text.find(from).and_then(|start| Some((start, start + text[start..].find(until)?)));
        let (start, end) = found.with_context(|| format!("there is no {from:?} before {until:?} in {path}"))?;
        self.write(path, &format!("{}{}", &text[..start], &text[end..]))
    }
}

impl<'s> Deref for PhoenixApp<'s> {
    type Target = Project<'s>;

    fn deref(&self) -> &Project<'s> {
        &self.project
    }
}

fn capitalized(word: &str) -> String {
    let (first, rest) = word.split_at(1);
    first.to_uppercase() + rest
}
