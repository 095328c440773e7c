//! Changes that outlive a run: each is recorded in the run's journal, with the actions that undo it, before it is made,
//! and is undone if it fails.

use anyhow::{Context as _, Result};
use gatling_pipeline::action::RecordedChange;
use gatling_runs::{Change, Event};

use super::Performer;

pub(super) fn perform(recorded: &RecordedChange, performer: Performer<'_>) -> Result<()> {
    perform_unless(recorded, performer, |_| false)
}

/// As [`perform`], but undoes nothing after an error by which `is_unchanged` knows that nothing has changed.
pub(super) fn perform_unless(
    recorded: &RecordedChange,
    performer: Performer<'_>,
    is_unchanged: impl Fn(&anyhow::Error) -> bool,
) -> Result<()> {
    let RecordedChange { change, .. } = recorded;
    let changes_what_serves = matches!(change, Change::Release | Change::Project);
    let interrupt = performer.interrupt.filter(|_| changes_what_serves);
    if let Some(interrupt) = interrupt {
        interrupt.switching()?;
    }
    let result = make(recorded, performer, is_unchanged);
    if let Some(interrupt) = interrupt {
        interrupt.switched(result.is_err());
    }
    result
}

fn make(
    recorded: &RecordedChange,
    performer: Performer<'_>,
    is_unchanged: impl Fn(&anyhow::Error) -> bool,
) -> Result<()> {
    let RecordedChange { change, to, actions, undo } = recorded;
    let events = performer.events;
    events.changing(*change, to.as_str(), undo.clone())?;
    let mut actions = actions.iter();
    actions.next().map_or(Ok(()), |first| performer.perform(first))?;
    let Err(error) = actions.try_for_each(|action| performer.perform(action)) else {
        events.changed(*change);
        return Ok(());
    };
    if is_unchanged(&error) {
        events.emit(Event::Undone { change: *change, ok: true });
        return Err(error);
    }
    if undo.is_empty() {
        let is_database = *change == Change::Database;
        let advice = "the migrations could not be undone: undo them yourself";
        return if is_database { Err(error).context(advice) } else { Err(error) };
    }
    // If the run was cancelled, it ends once the change is undone.
    if let Some(interrupt) = performer.interrupt {
        interrupt.take();
    }
    let previous = format!("the previous {}", change.name().trim_start_matches("the "));
    events.note(format!("restoring {previous}"));
    let undone = undo.iter().try_for_each(|command| performer.run(command));
    events.emit(Event::Undone { change: *change, ok: undone.is_ok() });
    match undone {
        Ok(()) => Err(error).context(format!("{previous} was restored")),
        Err(failed) => Err(error).context(format!("{previous} could not be restored: {failed:#}")),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::tests::captured;
    use gatling_pipeline::Action;
    use gatling_process::Command;

    fn touch(folder: &Path, name: &str) -> Action {
        Action::run(Command::new("touch", [name], folder))
    }

    #[test]
    fn a_change_is_recorded_before_it_is_made_and_undone_if_it_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let (events, captured) = captured();
        let fails = Action::run(Command::new("false", [""; 0], folder.path()));
        let actions = vec![touch(folder.path(), "new"), fails];
        let undo = vec![Command::new("rm", ["new"], folder.path())];
        let change = RecordedChange { change: Change::Release, to: "0.2.0".to_owned(), actions, undo };

        let error = format!("{:#}", perform(&change, Performer::new(&events)).expect_err("it fails"));

        assert!(error.starts_with("the previous release was restored: `false` exited"), "{error}");
        assert!(!folder.path().join("new").exists());
        let events = captured.events();
        let Some(Event::Changing { undo, .. }) = events.first() else { panic!("{events:#?}") };
        assert_eq!(undo[0].program, "rm");
        assert!(events.contains(&Event::Undone { change: Change::Release, ok: true }), "{events:#?}");
        assert!(!events.contains(&Event::Changed { change: Change::Release }), "{events:#?}");
    }

    #[test]
    fn a_change_that_was_not_made_is_not_undone() {
        let folder = tempfile::tempdir().expect("a folder");
        let (events, captured) = captured();
        let actions = vec![Action::run(Command::new("false", [""; 0], folder.path())), touch(folder.path(), "new")];
        let undo = vec![Command::new("touch", ["undone"], folder.path())];
        let change = RecordedChange { change: Change::Release, to: "0.2.0".to_owned(), actions, undo };

        perform(&change, Performer::new(&events)).expect_err("it fails");

        assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
        assert!(!captured.events().iter().any(|event| matches!(event, Event::Undone { .. })));
    }

    #[test]
    fn a_successful_change_is_recorded_as_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let (events, captured) = captured();
        let actions = vec![touch(folder.path(), "new")];
        let change = RecordedChange { change: Change::Service, to: "new".to_owned(), actions, undo: Vec::new() };
        perform(&change, Performer::new(&events)).expect("it goes well");
        assert!(folder.path().join("new").exists());
        assert_eq!(captured.events().last(), Some(&Event::Changed { change: Change::Service }));
    }
}
