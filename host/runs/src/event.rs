//! The events of a run. docs/journal.md describes their fields for those who read journals.

use gatling_process::Command;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The version of the journal's format. A change that old readers would misunderstand raises it; new
/// kinds of events and new fields don't.
pub const FORMAT: u32 = 1;

/// One line of a journal.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
pub struct Entry {
    /// The version of the format: [`FORMAT`].
    pub v: u32,
    /// When it happened.
    pub at: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub event: Event,
}

impl Entry {
    /// An event that happens now.
    #[must_use]
    pub fn now(event: Event) -> Self {
        Self { v: FORMAT, at: Timestamp::now(), event }
    }
}

/// Something that happened in a run.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The run was begun.
    Begun {
        /// The run's id.
        run: String,
        /// The project.
        project: String,
        /// The pipeline that was asked for; none for a push, which deploys or upgrades.
        pipeline: Option<String>,
        /// Who began it.
        by: String,
        /// The version of Gatling.
        gatling: String,
        /// The commit that the deploy branch had when the run was begun; none for an unload, a restart or a recovery.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pushed: Option<String>,
        /// Whether exactly that commit is deployed, before the branch has it.
        #[serde(default, skip_serializing_if = "is_false")]
        strict: bool,
        /// The id of the process that carries out the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        pid: Option<u32>,
        /// The id that the kernel gave to the boot of the server.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot: Option<String>,
    },
    /// The run waits for another run of the project.
    Waiting {
        /// A description of that run.
        holder: String,
    },
    /// The wait is over.
    Waited,
    /// Gatling knows what it will do.
    Planned {
        /// The pipeline.
        pipeline: String,
        /// The version of the project.
        version: String,
        /// The name that its release gets.
        release: String,
        /// The release that serves at this moment.
        previous: Option<String>,
        /// The deploy branch.
        branch: String,
        /// The commit.
        commit: String,
        /// The steps, in order.
        steps: Vec<String>,
        /// How the new release takes over from the one that serves, if one does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strategy: Option<String>,
        /// Why in this way.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        strategy_reason: Option<String>,
    },
    /// The hooks file was inspected.
    HooksLoaded {
        /// Its name.
        file: String,
        /// The hooks of this pipeline that it exports, in order.
        hooks: Vec<String>,
    },
    /// A step was begun.
    StepBegun {
        /// Its name.
        step: String,
    },
    /// A step has ended.
    StepEnded {
        /// Its name.
        step: String,
        /// Whether it succeeded.
        ok: bool,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A hook is called.
    HookBegun {
        /// Its name: `before_mix_compile`.
        hook: String,
        /// The hooks file that it is in.
        file: String,
    },
    /// A hook has returned, or was stopped.
    HookEnded {
        /// Its name.
        hook: String,
        /// Whether it returned without an error.
        ok: bool,
        /// How long it took, in seconds.
        seconds: f64,
    },
    /// A program is started.
    Command {
        /// The command line, as a person would type it.
        line: String,
        /// Whether users see it only with `--verbose`.
        #[serde(default, skip_serializing_if = "is_false")]
        quiet: bool,
    },
    /// The program has ended.
    CommandEnded {
        /// How: `exited with status 0`, or the error if it was not started.
        status: String,
        /// Whether it succeeded.
        ok: bool,
        /// How long it ran, in seconds.
        seconds: f64,
    },
    /// A program or a hook wrote something.
    Output {
        /// One or several lines, without the last line end.
        text: String,
        /// Whether the last line continues in the next output.
        #[serde(default, skip_serializing_if = "is_false")]
        open: bool,
    },
    /// Output was left out, because the step or hook wrote more than the journal keeps.
    OutputCut {
        /// The number of bytes that were left out.
        bytes: u64,
    },
    /// A hook wrote to the log.
    Log {
        /// Its severity.
        level: Level,
        /// What it wrote.
        text: String,
    },
    /// A note from Gatling.
    Note {
        /// Its severity.
        level: Level,
        /// One or several lines.
        text: String,
    },
    /// A hook used a grant.
    GrantUsed {
        /// The key of the grant: `run`, `read`, `write`, `http` or `env`.
        grant: String,
        /// What the hook used it for.
        what: String,
    },
    /// A hook asked for something that it was not granted.
    GrantRefused {
        /// The key of the grant.
        grant: String,
        /// What it asked for, and the line that would grant it.
        message: String,
    },
    /// The planned strategy has turned out to be impossible. Nothing was changed by it.
    FellBack {
        /// The strategy that is used instead.
        strategy: String,
        /// The name that the release gets.
        release: String,
        /// Why an upgrade in place is impossible.
        why: String,
    },
    /// Something outside of the run's own files is about to be changed. This event is on the disk before the change.
    Changing {
        /// What is changed.
        change: Change,
        /// What it is changed to.
        to: String,
        /// The commands that would undo it, if it can be undone.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        undo: Vec<Command>,
    },
    /// The change was made.
    Changed {
        /// What was changed.
        change: Change,
    },
    /// The change was undone.
    Undone {
        /// What was changed back.
        change: Change,
        /// Whether that went well.
        ok: bool,
    },
    /// This run was killed, and another run has cleaned up what it left.
    Recovered {
        /// The id of that run.
        by: String,
    },
    /// The files that the run checked out and built are on the disk: a power failure from now on does not damage them.
    Synced,
    /// The run has ended.
    Ended {
        /// How.
        outcome: Outcome,
        /// How long it took, in seconds, without the time that it waited for other runs.
        seconds: f64,
        /// What failed, and why: an error with its causes.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        error: Vec<String>,
        /// What is serving now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        serving: Option<Serving>,
        /// The command that tries it again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<String>,
        /// The host names at which the app is served, or its port.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        places: Vec<String>,
    },
    /// An event that this version of Gatling doesn't know.
    #[serde(other)]
    Unknown,
}

impl Event {
    /// The name of its kind, as in the journal, and the step, hook or change that it is about.
    #[must_use]
    pub fn label(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        let words = ["event", "step", "hook", "change"].into_iter().filter_map(|key| json[key].as_str());
        words.collect::<Vec<_>>().join(" ")
    }

    /// Applies `change` to every text of the event that can come from outside, such as the output of programs, but not to
    /// names that Gatling chooses.
    pub fn change_texts(&mut self, change: impl Fn(&str) -> String) {
        let mut all: Vec<&mut String> = Vec::new();
        match self {
            Self::Begun { by, .. } => all.push(by),
            Self::Waiting { holder } => all.push(holder),
            Self::Planned { branch, .. } => all.push(branch),
            Self::Command { line, .. } => all.push(line),
            Self::CommandEnded { status, .. } => all.push(status),
            Self::Output { text, .. } | Self::Log { text, .. } | Self::Note { text, .. } => all.push(text),
            Self::GrantUsed { what, .. } => all.push(what),
            Self::GrantRefused { message, .. } => all.push(message),
            Self::FellBack { why, .. } => all.push(why),
            // The commands that undo a change have only names and paths that Gatling chose. They must stay as they are.
            Self::Changing { to, .. } => all.push(to),
            Self::Ended { error, serving, .. } => {
                all.extend(error);
                if let Some(Serving::Unserved { why, .. } | Serving::Unknown { why, .. }) = serving {
                    all.push(why);
                }
            }
            Self::Waited
            | Self::HooksLoaded { .. }
            | Self::StepBegun { .. }
            | Self::StepEnded { .. }
            | Self::HookBegun { .. }
            | Self::HookEnded { .. }
            | Self::OutputCut { .. }
            | Self::Changed { .. }
            | Self::Undone { .. }
            | Self::Recovered { .. }
            | Self::Synced
            | Self::Unknown => {}
        }
        all.into_iter().for_each(|text| *text = change(text));
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde calls it like this")]
fn is_false(value: &bool) -> bool {
    !value
}

/// How much something matters.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// For those who look for a fault.
    Debug,
    /// What happens.
    Info,
    /// What the user should know, and that is no failure.
    Warning,
    /// What went wrong.
    Error,
}

/// What a run changes outside its own files.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// The files in the build dir.
    Checkout,
    /// The init script or what the system knows of it.
    Service,
    /// The database.
    Database,
    /// The release that serves.
    Release,
    /// nginx's site.
    Site,
    /// The digested assets that nginx serves. Those of other releases stay.
    Assets,
    /// Releases that are too old for a rollback, which are removed.
    OldReleases,
    /// The project itself, which is taken off the server.
    Project,
}

impl Change {
    /// What is changed, for users.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Checkout => "the checkout",
            Self::Service => "the init script",
            Self::Database => "the database",
            Self::Release => "the release",
            Self::Site => "the site",
            Self::Assets => "the assets",
            Self::OldReleases => "the old releases",
            Self::Project => "the project",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Every step and hook did what it should.
    Succeeded,
    /// Something failed, and nothing was done after it.
    Failed,
    /// Somebody cancelled it.
    Cancelled,
    /// There was nothing to do.
    Unchanged,
    /// It waited for another run, and a newer run waited too: that one deploys the latest commit.
    Superseded,
}

impl Outcome {
    /// The exit code of the commands that show the run.
    #[must_use]
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Succeeded | Self::Unchanged => 0,
            Self::Failed | Self::Cancelled => 1,
            Self::Superseded => 3,
        }
    }
}

/// What serves.
#[derive(Clone, Debug, Deserialize, Serialize, PartialEq, Eq)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Serving {
    /// Visitors get answers from this release.
    Serving {
        /// Its name.
        release: String,
    },
    /// The release runs, but visitors get no good answer.
    Unserved {
        /// Its name.
        release: String,
        /// What visitors see.
        why: String,
    },
    /// The release runs; what visitors see is not known.
    Unknown {
        /// Its name.
        release: String,
        /// Why not.
        why: String,
    },
    /// The release doesn't answer.
    Down {
        /// Its name.
        release: String,
        /// The command that starts it.
        start: String,
    },
    /// The project is not deployed.
    NotDeployed,
}
