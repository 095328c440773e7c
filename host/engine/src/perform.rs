//! Carries out actions.

mod assets;
mod beside;
mod change;
mod command;
mod epmd;
mod files;
pub(crate) mod in_place;
pub(crate) mod migration;
mod release_proof;
pub(crate) mod removal;
mod site;
mod units;

use anyhow::{Result, bail};
use gatling_config::folders::make_private;
use gatling_pipeline::Action;
use gatling_process::{Command, CommandError};
use gatling_runs::{Events, fault};

use crate::facts::Gathered;
use crate::marks::{self, Mark};
use crate::run::interrupt::Interrupt;
use crate::{rollback, serving};
use command::run_in;
pub(crate) use files::write_file;

/// Carries out actions and reports them as events.
#[derive(Clone, Copy)]
pub struct Performer<'a> {
    gathered: Option<&'a Gathered>,
    pub(crate) events: &'a Events,
    interrupt: Option<&'a Interrupt>,
}

impl<'a> Performer<'a> {
    /// A performer without a mix session.
    #[must_use]
    pub fn new(events: &'a Events) -> Self {
        Self { gathered: None, events, interrupt: None }
    }

    /// The performer for what was planned with these facts: mix tasks run in the session of their mix.
    #[must_use]
    pub(crate) fn with_facts(self, gathered: &'a Gathered) -> Self {
        Self { gathered: Some(gathered), ..self }
    }

    /// The performer, for a run that can be ended early.
    #[must_use]
    pub(crate) fn with_interrupt(self, interrupt: &'a Interrupt) -> Self {
        Self { interrupt: Some(interrupt), ..self }
    }

    /// Runs a command.
    ///
    /// # Errors
    /// If it fails.
    pub(crate) fn run(self, command: &Command) -> Result<()> {
        run_in(self.gathered, command, self.events)
    }

    /// Checks before the first step whether an action can be carried out, for those that can be checked.
    ///
    /// # Errors
    /// If it cannot: the error says why.
    pub fn check_beforehand(self, action: &Action) -> Result<()> {
        match action {
            Action::InstallSite(site) => site::check_beforehand(site, self),
            Action::Change(change) => change.actions.iter().try_for_each(|action| self.check_beforehand(action)),
            Action::CheckMemory { paths } => beside::check_memory(paths),
            _ => Ok(()),
        }
    }

    /// Carries out an action.
    ///
    /// # Errors
    /// If it fails: the error says what to do about it, if that is known.
    pub fn perform(self, action: &Action) -> Result<()> {
        if let Some(interrupt) = self.interrupt {
            interrupt.check()?;
        }
        fault::point(|| format!("before: {action}"))?;
        self.carry_out(action)?;
        Ok(fault::point(|| format!("after: {action}"))?)
    }

    fn carry_out(self, action: &Action) -> Result<()> {
        let Self { events, .. } = self;
        match action {
            Action::Run(command) => self.run(command),
            Action::RunIfTask { task, command } => {
                if self.has_task(task)? {
                    return self.run(command);
                }
                events.note(format!("nothing to do: the project has no mix task {task}"));
                Ok(())
            }
            Action::Try { command } => {
                if let Err(error) = self.run(command) {
                    events.warn(format!("{error:#}"));
                }
                Ok(())
            }
            Action::Build { commands, written } => {
                let before: Vec<_> = written.iter().map(|file| files::version(file)).collect();
                commands.iter().try_for_each(|command| self.run(command))?;
                files::check_written(written, &before)
            }
            Action::Skip { reason } => {
                events.note(format!("nothing to do: {reason}"));
                Ok(())
            }
            Action::MakeDir { path } => make_private(path),
            Action::WriteFile { path, contents, mode } => files::write_file(path, contents, *mode),
            Action::Sync { path } => files::sync(path),
            Action::SyncRelease { path } => files::sync_release(path),
            Action::Remove { path } => {
                if removal::remove(path)? {
                    events.note(format!("removed {}", path.display()));
                }
                Ok(())
            }
            Action::Clear { path } => removal::remove(path).map(drop),
            Action::ProveRelease { marker, version } => files::check_release(marker, version),
            Action::Append { path, text } => files::append(path, text),
            Action::ClearRelease { path } => files::clear_release(path),
            Action::KeepReleases { paths, serves, needed } => files::keep_releases(paths, serves, needed),
            Action::Warn { text } => {
                events.warn(text.as_str());
                Ok(())
            }
            Action::EndEpmd { paths } => {
                epmd::stop(paths, events);
                Ok(())
            }
            Action::CopyRelease(copy) => rollback::copy(copy, self),
            Action::Mark { paths, release, why } => {
                if let Err(error) = marks::add(paths, &Mark::new(paths, release, why.clone())) {
                    events.warn(format!("{release} could not be marked as {why}: {error:#}"));
                }
                Ok(())
            }
            Action::PublishAssets(assets) => assets::publish(assets),
            Action::Migrate(migration) => migration::perform(migration, events),
            Action::Change(change) => change::perform(change, self),
            Action::InPlace(in_place) => in_place::perform(in_place, self),
            Action::ProveServing(proof) => release_proof::check(proof, events),
            Action::ProveSlot(proof) => beside::prove(proof),
            Action::Soak(soak) => beside::soak(soak, self),
            Action::CheckMemory { paths } => beside::check_memory(paths),
            Action::ProveVisitors { paths } => match serving::unserved(paths)? {
                Some(visit) => bail!("visitors are not served: {visit}"),
                None => Ok(()),
            },
            Action::ProveSite(site) => site::check_in_use(site, self),
            Action::CheckUnits { units } => units::check(units, events),
            Action::InstallSite(site) => site::install(site, self),
        }
    }

    /// Asks mix whether the project has a mix task. Without mix, it is assumed to have it.
    fn has_task(self, task: &str) -> Result<bool> {
        let Some(Gathered { mix, .. }) = self.gathered else { return Ok(true) };
        match mix.run(&mix.call.command(["help", task]), |_| {}) {
            Ok(()) => Ok(true),
            Err(CommandError::Failed { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }
}
