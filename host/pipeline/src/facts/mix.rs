//! What mix says of a project, and how mix is called for it.

use std::path::PathBuf;

use gatling_process::{Command, Variables};

/// What stands in a project's mix.exs and config, and the tasks that mix has in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MixFacts {
    /// The project's names: `:app` in its mix.exs; for an umbrella, its release and the apps in it.
    pub apps: Vec<String>,
    /// The version of the release.
    pub version: String,
    /// The release that is built, which is also the name of its program.
    pub release: String,
    /// Whether mix.exs declares that release: `mix release` takes no other name.
    pub release_is_declared: bool,
    /// The folder of the umbrella's app that the release is built from, where the umbrella declares
    /// no release of its own.
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
    /// The Phoenix endpoints, as far as the config names them.
    pub endpoints: Vec<Endpoint>,
    /// The apps with Ecto repositories, each named once for each repository, with its module.
    pub repos: Vec<(String, String)>,
    /// What became of reading `config/runtime.exs`.
    pub runtime_config: RuntimeConfig,
    /// What mix runs on.
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

/// What the config says of a Phoenix endpoint.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// The app whose config it is in.
    pub app: String,
    /// Its module, as in `ShopWeb.Endpoint`.
    pub module: String,
    /// Where its HTTP server listens; none where it isn't known to have one.
    pub http: Option<Listening>,
    /// Whether it starts a server, as it is told with `PHX_SERVER`.
    pub serves: bool,
    /// Whether the config sets `check_origin` to something else than the default.
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
    /// Where only this machine reaches it.
    Loopback,
    /// On other addresses too.
    Open,
}

/// What became of reading `config/runtime.exs`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RuntimeConfig {
    /// The project has none.
    #[default]
    Missing,
    /// It was read; the facts tell what it says.
    Read,
    /// It raised an exception: this one.
    Raises(String),
    /// It needs code that isn't compiled yet.
    Unknown,
}

/// `elixir:` in mix.exs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Requirement {
    /// The requirement, such as `~> 1.15`.
    pub text: String,
    /// Whether mix says that the Elixir it runs on meets it.
    pub holds: bool,
}

/// The versions that mix runs on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions {
    /// `System.version()`.
    pub elixir: String,
    /// `System.otp_release()`.
    pub otp_release: String,
    /// The full version of Erlang/OTP, where it is known. See [`otp_version`].
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

    /// Another program of Elixir's, called as mix is.
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
