//! Changes that outlive a run: each is noted in the run's journal before it is made, with what would
//! undo it, and is undone where it fails.

use anyhow::{Context as _, Result};
use gatling_pipeline::action::Changing;
use gatling_runs::{Change, Event};

use super::Performer;

pub(super) fn perform(changing: &Changing, performer: Performer<'_>) -> Result<()> {
    let Changing { change, to, actions, undo } = changing;
    let events = performer.events;
    let noted = serde_json::to_value(undo).ok().filter(|_| !undo.is_empty());
    events.changing(*change, to.as_str(), noted)?;
    let mut actions = actions.iter();
    actions.next().map_or(Ok(()), |first| performer.perform(first))?;
    let Err(error) = actions.try_for_each(|action| performer.perform(action)) else {
        events.changed(*change);
        return Ok(());
    };
    if undo.is_empty() {
        return Err(error);
    }
    let what = before(*change);
    events.note(format!("going back to {what}"));
    let undone = undo.iter().try_for_each(|action| performer.perform(action));
    events.emit(Event::Undone { change: *change, ok: undone.is_ok() });
    match undone {
        Ok(()) => Err(error).context(format!("{what} was put back")),
        Err(failed) => Err(error).context(format!("{what} could not be put back: {failed:#}")),
    }
}

/// What was there before a change.
fn before(change: Change) -> &'static str {
    match change {
        Change::Checkout => "the files that were there before",
        Change::Service => "the old init script",
        Change::Database => "the database as it was",
        Change::Release => "the old release",
        Change::Site => "the old site",
        Change::Project => "the project",
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
    fn a_change_is_noted_before_it_is_made_and_undone_where_it_fails() {
        let folder = tempfile::tempdir().expect("a folder");
        let (events, captured) = captured();
        let fails = Action::run(Command::new("false", [""; 0], folder.path()));
        let actions = vec![touch(folder.path(), "new"), fails];
        let undo = vec![Action::Remove { path: folder.path().join("new") }];
        let change = Changing { change: Change::Release, to: "0.2.0".to_owned(), actions, undo };

        let error = format!("{:#}", perform(&change, Performer::new(&events)).expect_err("it fails"));

        assert!(error.starts_with("the old release was put back: `false` exited"), "{error}");
        assert!(!folder.path().join("new").exists());
        let events = captured.events();
        let Some(Event::Changing { undo: Some(undo), .. }) = events.first() else { panic!("{events:#?}") };
        assert_eq!(undo[0]["kind"], "remove");
        assert!(events.contains(&Event::Undone { change: Change::Release, ok: true }), "{events:#?}");
        assert!(!events.contains(&Event::Changed { change: Change::Release }), "{events:#?}");
    }

    #[test]
    fn what_could_not_be_changed_needs_no_undoing() {
        let folder = tempfile::tempdir().expect("a folder");
        let (events, captured) = captured();
        let actions = vec![Action::run(Command::new("false", [""; 0], folder.path())), touch(folder.path(), "new")];
        let undo = vec![touch(folder.path(), "undone")];
        let change = Changing { change: Change::Release, to: "0.2.0".to_owned(), actions, undo };

        perform(&change, Performer::new(&events)).expect_err("it fails");

        assert_eq!(std::fs::read_dir(folder.path()).expect("it is there").count(), 0);
        assert!(!captured.events().iter().any(|event| matches!(event, Event::Undone { .. })));
    }

    #[test]
    fn a_change_that_went_well_is_noted_as_made() {
        let folder = tempfile::tempdir().expect("a folder");
        let (events, captured) = captured();
        let actions = vec![touch(folder.path(), "new")];
        let change = Changing { change: Change::Service, to: "new".to_owned(), actions, undo: Vec::new() };
        perform(&change, Performer::new(&events)).expect("it goes well");
        assert!(folder.path().join("new").exists());
        assert_eq!(captured.events().last(), Some(&Event::Changed { change: Change::Service }));
    }
}
