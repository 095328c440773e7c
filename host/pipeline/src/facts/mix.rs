//! What mix reports about a project, and how mix is called for it.

use std::path::PathBuf;

use gatling_process::{Command, Variables};

/// What a project's mix.exs and config contain, and the mix tasks that it has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixFacts {
    /// The project's possible names: `:app` in its mix.exs; for an umbrella, its release and its apps.
    pub apps: Vec<String>,
    /// The version of the release.
    pub version: String,
    /// The name of the release that is built, which is also the name of its program.
    pub release: String,
    /// Whether mix.exs declares that release: `mix release` accepts only declared names.
    pub release_is_declared: bool,
    /// The folder of the umbrella's app that the release is built from, if the umbrella itself declares no
    /// release.
    pub release_folder: Option<String>,
    /// The folder that it is built in.
    pub release_path: PathBuf,
    /// The names of the direct dependencies.
    pub dependencies: Vec<String>,
    /// The names of tasks and aliases, sorted.
    pub tasks: Vec<String>,
    /// The names of aliases.
    pub aliases: Vec<String>,
    /// The apps of an umbrella.
    pub children: Vec<Child>,
    /// The Phoenix endpoints that the config contains.
    pub endpoints: Vec<Endpoint>,
    /// The Ecto repositories: each with its app and its module.
    pub repos: Vec<(String, String)>,
    /// The result of reading `config/runtime.exs`.
    pub runtime_config: RuntimeConfig,
    /// The versions that mix runs on.
    pub versions: Versions,
    /// `elixir:` in mix.exs.
    pub requirement: Option<Requirement>,
}

/// An app of an umbrella.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Child {
    /// Its folder, below the build dir.
    pub folder: String,
    /// Its name.
    pub app: String,
    /// The names of its aliases.
    pub aliases: Vec<String>,
}

/// The config of a Phoenix endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The app whose config it is in.
    pub app: String,
    /// Its module, as in `ShopWeb.Endpoint`.
    pub module: String,
    /// Where its HTTP server listens; none if it is not known to have one.
    pub http: Option<Listening>,
    /// Whether it starts a server when `PHX_SERVER` is set.
    pub starts_server: bool,
    /// Whether the config sets `check_origin` to a value other than the default.
    pub sets_check_origin: bool,
    /// `url: [host: ...]`.
    pub host: Option<String>,
    /// Whether it redirects plain HTTP to HTTPS.
    pub forces_ssl: bool,
    /// `cache_static_manifest`: the file that `mix phx.digest` writes.
    pub manifest: Option<String>,
}

/// Where a server listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listening {
    /// Only on loopback addresses.
    Loopback,
    /// Also on other addresses.
    Open,
}

/// The result of reading `config/runtime.exs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuntimeConfig {
    /// The project has none.
    #[default]
    Missing,
    /// It was read; the facts include its settings.
    Read,
    /// It raised this exception.
    Raises(String),
    /// It needs code that is not compiled yet.
    Unknown,
}

/// `elixir:` in mix.exs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The requirement, such as `~> 1.15`.
    pub text: String,
    /// Whether the Elixir that mix runs on meets it.
    pub is_met: bool,
}

/// The versions that mix runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// `System.version()`.
    pub elixir: String,
    /// `System.otp_release()`.
    pub otp_release: String,
    /// The full version of Erlang/OTP, if it is known.
    pub otp_version: Option<String>,
}

/// How mix is called for a project.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixCall {
    /// The build dir.
    pub dir: PathBuf,
    /// `MIX_ENV`.
    pub env: String,
    /// The variables that mix gets: the project's `.env`, `MIX_ENV` and `PORT`.
    pub variables: Variables,
}

impl MixCall {
    /// A call of mix.
    #[must_use]
    pub fn command<const N: usize>(&self, args: [&str; N]) -> Command {
        self.program("mix", args)
    }

    /// A call of mix in a folder of the build dir: that of an umbrella's app.
    #[must_use]
    pub fn command_in<const N: usize>(&self, folder: Option<&str>, args: [&str; N]) -> Command {
        match folder {
            Some(folder) => self.command(args).in_folder(folder),
            None => self.command(args),
        }
    }

    /// A call of another Elixir program, in the same way.
    #[must_use]
    pub fn program<const N: usize>(&self, program: &str, args: [&str; N]) -> Command {
        Command::new(program, args, &self.dir).with_env(self.variables.iter())
    }
}

impl MixFacts {
    /// Whether the project is an umbrella.
    #[must_use]
    pub fn is_umbrella(&self) -> bool {
        !self.children.is_empty()
    }

    /// Whether mix has a task or alias of that name.
    #[must_use]
    pub fn has_task(&self, name: &str) -> bool {
        self.tasks.binary_search_by(|task| task.as_str().cmp(name)).is_ok()
    }

    /// The folders of the umbrella's apps that have an alias of that name.
    pub fn folders_with_alias<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        let children = self.children.iter().filter(move |child| child.aliases.iter().any(|alias| alias == name));
        children.map(|child| child.folder.as_str())
    }
}
