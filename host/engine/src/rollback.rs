//! `gatling rollback`: has an older release serve again, without building anything.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail};
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::{ProjectSettings, Strategy};
use gatling_config::slot::Slot;
use gatling_pipeline::Pipeline;
use gatling_pipeline::action::ReleaseCopy;
use gatling_pipeline::facts::rollback::RollbackFacts;
use gatling_pipeline::facts::server::Place;
use gatling_process::Command;
use gatling_templates::UNDO_MIGRATIONS_WITH_ECTO;

use crate::facts::release_name;
use crate::facts::server::place;
use crate::marks;
use crate::perform::Performer;
use crate::perform::migration::migrations;
use crate::run::Rollback;
use crate::serving;
use crate::takeover::{self, base, beside, settings};

/// What a rollback goes back to, and how.
///
/// # Errors
/// If nothing is deployed, or the older release does not exist or does not know all migrations.
pub(crate) fn look(paths: &ProjectPaths, project: &ProjectSettings, wanted: &Rollback) -> Result<RollbackFacts> {
    let Some(current) = paths.current_release().filter(|_| paths.is_deployed()) else {
        bail!("{0} is not deployed yet: push to it, or run `gatling deploy {0}`", paths.name);
    };
    let target = target(paths, &current, wanted.release.as_deref())?;
    let undo = check_migrations(paths, &current, &target, wanted)?;
    let here = place(paths).context("the current release has no port")?;
    let beside = beside(paths, project, &here);
    let is_beside = beside.is_some();
    let place = beside.unwrap_or_else(|| here.clone());
    // nginx must know its token. Releases of older versions of Gatling have none.
    let has_token = serving::settings(paths, &target).get("GATLING_TOKEN") == place.token.as_deref();
    let fits =
        has_token && serving::slot(paths, &target) == place.slot && serving::port(paths, &target) == Some(place.port);
    let release = if fits { target.clone() } else { release_name(paths, base(&target)) };
    let hooks_file = paths.build_dir().join(Pipeline::Rollback.hooks_file());
    let hooks_file = Some(hooks_file).filter(|file| file.symlink_metadata().is_ok());
    let in_place =
        (project.strategy == Some(Strategy::Hot) && is_same_place(paths, &target, &current, &here)?).then_some(here);
    let facts = RollbackFacts { target, release, current, place, is_beside, otherwise: None, undo, hooks_file };
    Ok(match in_place {
        Some(here) => RollbackFacts {
            release: facts.target.clone(),
            place: here,
            is_beside: false,
            otherwise: Some(Box::new(facts.clone())),
            ..facts
        },
        None => facts,
    })
}

/// Whether the older release can run in the process of the current one: with the same variables, at the same place.
fn is_same_place(paths: &ProjectPaths, target: &str, current: &str, here: &Place) -> Result<bool> {
    let variables = |release: &str| Dotenv::read(&paths.releases_dir().join(release).join(".env"));
    // A process that is gone cannot go back.
    let is_running =
        serving::process_of(paths, current).is_some_and(|running| serving::listens_on_its_port(paths, &running));
    let is_here =
        is_running && serving::slot(paths, target) == here.slot && serving::port(paths, target) == Some(here.port);
    Ok(is_here && variables(target)? == variables(current)?)
}

/// The release to go back to: this one, or the latest that served before the current one.
fn target(paths: &ProjectPaths, current: &str, wanted: Option<&str>) -> Result<String> {
    let is_whole = |release: &str| paths.releases_dir().join(release).join(paths.name.as_str()).is_dir();
    let there = || {
        let served: Vec<_> = paths.served().into_iter().filter(|release| is_whole(release)).collect();
        format!("The releases that served are: {} (see `gatling releases {}`)", served.join(", "), paths.name)
    };
    match wanted {
        Some(wanted) if wanted == current => {
            bail!("{wanted} is the current release. To restart it: gatling restart {}", paths.name)
        }
        Some(wanted) if wanted.contains('/') || wanted.starts_with('.') || !is_whole(wanted) => {
            bail!("there is no release {wanted}. {}", there())
        }
        Some(wanted) => Ok(wanted.to_owned()),
        None => {
            let marked: Vec<_> = marks::read(paths).into_iter().map(|mark| mark.release).collect();
            let mut served = paths.served();
            served.retain(|release| release != current && is_whole(release) && !marked.contains(release));
            // `gatling restart` makes copies of the same code.
            let commit = |release: &str| serving::settings(paths, release).get("GATLING_COMMIT").map(str::to_owned);
            let now = commit(current);
            served.retain(|release| now.is_none() || commit(release) != now);
            served.pop().with_context(|| {
                format!("there is no older release that served well. {}. To go back to one, name it", there())
            })
        }
    }
}

/// Fails if the database has migrations that the older release does not know, unless it may stay so. Returns the command
/// that undoes them if that is wanted.
fn check_migrations(paths: &ProjectPaths, current: &str, target: &str, wanted: &Rollback) -> Result<Option<Command>> {
    let folder = |release: &str| paths.releases_dir().join(release).join(paths.name.as_str());
    let (known, now) = (migrations(&folder(target)), migrations(&folder(current)));
    let unknown: BTreeSet<_> = now.difference(&known).cloned().collect();
    if unknown.is_empty() || wanted.past_migrations {
        return Ok(None);
    }
    let names: Vec<_> = unknown.iter().map(String::as_str).collect();
    if !wanted.migrate_down {
        bail!(
            "the database has migrations that {target} does not know: {}. Add --past-migrations to leave them in the \
             database, or --migrate-down to undo them",
            names.join(", ")
        );
    }
    if now.iter().rev().take(unknown.len()).any(|name| !unknown.contains(name)) {
        bail!(
            "the migrations that {target} does not know ({}) are not the newest ones, so they cannot be undone alone. Undo \
             them yourself, or add --past-migrations to leave them in the database",
            names.join(", ")
        );
    }
    let settings = serving::settings(paths, current);
    let repos = settings.get("GATLING_REPOS").filter(|repos| !repos.is_empty()).with_context(|| {
        format!("gatling does not know the repositories of {current}: undo the migrations yourself, and add --past-migrations")
    })?;
    let versions: Vec<_> = names.iter().filter_map(|name| name.split('_').next()).collect();
    let code =
        UNDO_MIGRATIONS_WITH_ECTO.replace("REPOS", repos).replace("OLDEST", versions.first().copied().unwrap_or("0"));
    let program = format!("bin/{}", settings.get("GATLING_PROGRAM").unwrap_or(paths.name.as_str()));
    let mut command = Command::new(&program, ["eval".to_owned(), code], &folder(current));
    command.label = Some(format!("{program} eval '... Ecto.Migrator.run(repo, :down, ...)'"));
    Ok(Some(command))
}

/// Copies a release for another place, with the environment that it had.
///
/// # Errors
/// If a file cannot be read, or the disk is full.
pub(crate) fn copy(copy: &ReleaseCopy, performer: Performer<'_>) -> Result<()> {
    let ReleaseCopy { paths, from, to, place } = copy;
    performer.events.note(format!("{from} cannot run in its old place now, so a copy of it is started: {to}"));
    let folder = paths.releases_dir().join(from);
    let noted = Dotenv::read(&folder.join("service.env"))?;
    let own = folder.join(".env");
    let mut environment = Dotenv::read(&if own.exists() { own } else { paths.dotenv() })?;
    let slot = Slot::named(noted.get("GATLING_SLOT"));
    let default = format!("{}@127.0.0.1", paths.name);
    let node = place.slot.node(&slot.base_of_node(environment.get("RELEASE_NODE").unwrap_or(&default)));
    environment.set("RELEASE_NODE", &node)?;
    environment.set("PORT", &place.port.to_string())?;
    let mut settings = settings(noted, place)?;
    if let Some(token) = &place.token {
        settings.set("GATLING_TOKEN", token)?;
    }
    takeover::copy(paths, &folder, to, &environment, &settings, performer)
}
