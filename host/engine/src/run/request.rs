//! What is asked of a run.

use std::str::FromStr;

use gatling_config::paths::ProjectPaths;
use gatling_pipeline::Pipeline;
use gatling_runs::Runs;

/// What is asked of a run.
#[derive(Clone, Debug)]
pub struct Request {
    /// The project.
    pub paths: ProjectPaths,
    /// The run's id.
    pub id: String,
    /// What the run does.
    pub goal: Goal,
    /// Who asks.
    pub by: String,
    /// The commit that the deploy branch had when this was asked.
    pub pushed: Option<String>,
    /// For a strict push: the commit that the branch has. The pushed commit is deployed, and the branch gets it only if
    /// this succeeds.
    pub strict: Option<String>,
    /// What a rollback goes back to.
    pub rollback: Rollback,
    /// Whether the release is not watched once it serves.
    pub no_soak: bool,
}

/// What a rollback goes back to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rollback {
    /// The release; none for the latest that served before the current one.
    pub release: Option<String>,
    /// Whether migrations that it does not know may stay in the database.
    pub past_migrations: bool,
    /// Whether migrations that it does not know are undone.
    pub migrate_down: bool,
    /// Whether hooks are not called.
    pub no_hooks: bool,
}

impl Rollback {
    /// The command that asks for it.
    #[must_use]
    pub fn command(&self, paths: &ProjectPaths) -> String {
        let mut words = vec!["gatling", "rollback", paths.name.as_str()];
        words.extend(self.release.as_deref());
        words.extend(self.past_migrations.then_some("--past-migrations"));
        words.extend(self.migrate_down.then_some("--migrate-down"));
        words.extend(self.no_hooks.then_some("--no-hooks"));
        words.join(" ")
    }
}

impl Request {
    /// A request for a new run, of the commit that the deploy branch has when the run begins.
    #[must_use]
    pub fn new(paths: ProjectPaths, goal: Goal, by: String) -> Self {
        let id = Runs::below(&paths.state_dir()).new_id();
        Self { paths, id, goal, by, pushed: None, strict: None, rollback: Rollback::default(), no_soak: false }
    }
}

/// What a run does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Goal {
    /// Deploy what was pushed: `deploy` the first time, `upgrade` after that.
    Push,
    /// This pipeline.
    Pipeline(Pipeline),
    /// Restart the app, with the variables that its `.env` has now.
    Restart,
    /// Build the release of an upgrade, and say how the running one could be upgraded to it in place.
    Explain,
    /// Complete or undo what runs that were killed were changing, and nothing else.
    Recover,
}

impl Goal {
    /// The name of [`Goal::Explain`].
    pub const EXPLAIN: &str = "explain";
    /// The name of [`Goal::Push`].
    pub(super) const PUSH: &str = "push";
    const RESTART: &str = "restart";
    /// The name of [`Goal::Recover`].
    pub const RECOVER: &str = "recover";

    /// Its name: that of the pipeline, `push`, `restart`, `explain` or `recover`.
    #[must_use]
    pub fn name(self) -> String {
        match self {
            Self::Push => Self::PUSH.to_owned(),
            Self::Pipeline(pipeline) => pipeline.to_string(),
            Self::Restart => Self::RESTART.to_owned(),
            Self::Explain => Self::EXPLAIN.to_owned(),
            Self::Recover => Self::RECOVER.to_owned(),
        }
    }

    /// Whether it deploys the latest commit of the deploy branch.
    #[must_use]
    pub fn deploys(self) -> bool {
        matches!(self, Self::Push | Self::Pipeline(Pipeline::Deploy | Pipeline::Upgrade))
    }

    /// Whether this is the pipeline.
    #[must_use]
    pub fn is(self, pipeline: Pipeline) -> bool {
        self == Self::Pipeline(pipeline)
    }
}

impl FromStr for Goal {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        match name {
            Self::PUSH => Ok(Self::Push),
            Self::RESTART => Ok(Self::Restart),
            Self::EXPLAIN => Ok(Self::Explain),
            Self::RECOVER => Ok(Self::Recover),
            name => name.parse().map(Self::Pipeline),
        }
    }
}
