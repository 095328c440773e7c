//! Carrying out actions: the only place with effects.

mod assets;
mod change;
mod command;
mod epmd;
mod files;
mod migration;
mod release_proof;
mod removal;
mod site;

use std::time::SystemTime;

use anyhow::Result;
use gatling_config::folders::make_private;
use gatling_pipeline::Action;
use gatling_process::CommandError;
use gatling_runs::Events;

use crate::mix::Mix;
use command::run_in;

/// Carries actions out, and says what it does.
#[derive(Clone, Copy)]
pub struct Performer<'a> {
    mix: Option<&'a Mix>,
    events: &'a Events,
}

impl<'a> Performer<'a> {
    /// Carries out what needs nothing to be asked of mix.
    #[must_use]
    pub fn new(events: &'a Events) -> Self {
        Self { mix: None, events }
    }

    /// Carries out tasks of mix in its session.
    #[must_use]
    pub(crate) fn with_mix(mix: &'a Mix, events: &'a Events) -> Self {
        Self { mix: Some(mix), events }
    }

    /// Finds out before the first step whether an action could be carried out, where that can be found out.
    ///
    /// # Errors
    /// Why it couldn't.
    pub fn check_beforehand(self, action: &Action) -> Result<()> {
        match action {
            Action::InstallSite(site) => site::check_beforehand(site, self.events),
            Action::Change(change) => change.actions.iter().try_for_each(|action| self.check_beforehand(action)),
            _ => Ok(()),
        }
    }

    /// Carries an action out.
    ///
    /// # Errors
    /// When that fails; the error says what to do about it where that is known.
    pub fn perform(self, action: &Action) -> Result<()> {
        let Self { mix, events } = self;
        match action {
            Action::Run(command) => run_in(mix, command, events),
            Action::RunIfTask { task, command } => {
                if self.has_task(task)? {
                    return run_in(mix, command, events);
                }
                events.note(format!("nothing to do: the project has no mix task {task}"));
                Ok(())
            }
            Action::Try { command } => {
                if let Err(error) = run_in(mix, command, events) {
                    events.warn(format!("{error:#}"));
                }
                Ok(())
            }
            Action::Build { commands, written } => {
                let begun = SystemTime::now();
                commands.iter().try_for_each(|command| run_in(mix, command, events))?;
                files::prove_written(written, begun)
            }
            Action::Skip { reason } => {
                events.note(format!("nothing to do: {reason}"));
                Ok(())
            }
            Action::MakeDir { path } => make_private(path),
            Action::WriteFile { path, contents, mode } => files::write_file(path, contents, *mode),
            Action::Remove { path } => {
                if removal::remove(path)? {
                    events.note(format!("removed {}", path.display()));
                }
                Ok(())
            }
            Action::Clear { path } => removal::remove(path).map(drop),
            Action::ProveRelease { marker, version } => files::prove_release(marker, version),
            Action::Append { path, text } => files::append(path, text),
            Action::ClearRelease { path } => files::clear_release(path),
            Action::KeepReleases { paths, serves, needed } => files::keep_releases(paths, serves, needed),
            Action::Warn { text } => {
                events.warn(text.as_str());
                Ok(())
            }
            Action::EndEpmd { paths } => {
                epmd::end(paths, events);
                Ok(())
            }
            Action::PublishAssets(assets) => assets::publish(assets),
            Action::Migrate(migration) => migration::perform(migration, events),
            Action::Change(change) => change::perform(change, self),
            Action::ProveServing(proof) => release_proof::prove(proof, events),
            Action::ProveSite(site) => site::prove_in_use(site, events),
            Action::InstallSite(site) => site::install(site, events),
        }
    }

    /// Whether the project has a mix task, which mix is asked. Without mix nothing is known against it.
    fn has_task(self, task: &str) -> Result<bool> {
        let Some(mix) = self.mix else { return Ok(true) };
        match mix.run(&mix.call.command(["help", task]), |_| {}) {
            Ok(()) => Ok(true),
            Err(CommandError::Failed { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
