//! Gathers everything that must be known about a deployment, once, before its first step.

mod checks;
pub mod server;
mod slots;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeSet;
use std::fs;

use anyhow::{Result, bail};
use gatling_config::domains;
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::secrets;
use gatling_config::settings::{OperatorSettings, ProjectSettings, SiteSettings, Strategy, project_file};
use gatling_config::slot::SlotPorts;
use gatling_pipeline::facts::Site;
use gatling_pipeline::facts::mix::{MixCall, MixFacts};
use gatling_pipeline::facts::rollback::RollbackFacts;
use gatling_pipeline::{Facts, Pipeline, Source, environment};
use gatling_process::Variables;
use gatling_templates::{self as templates, SiteText};

use crate::mix::Mix;
use crate::run::Rollback;
use crate::takeover::base;
use crate::toolchain::{self, RequiredVersions};
use crate::{nginx, rollback, serving, takeover};
use slots::{Slots, choose_strategy};

/// What is known about a deployment before mix is asked about the project.
#[derive(Clone, Debug)]
struct FactsDraft {
    paths: ProjectPaths,
    pipeline: Pipeline,
    operator: OperatorSettings,
    settings: ProjectSettings,
    dotenv: Dotenv,
    slots: Slots,
    domains: Option<Vec<String>>,
    mix: Mix,
    /// The current release.
    current: Option<String>,
    rollback: Option<RollbackFacts>,
}

impl FactsDraft {
    /// Reads the settings of the project, as it is checked out, and of the server.
    ///
    /// # Errors
    /// If settings or the `.env` cannot be read, or no port is free.
    fn read(paths: &ProjectPaths, pipeline: Pipeline, rollback: &Rollback, strategy: Option<Strategy>) -> Result<Self> {
        let operator = OperatorSettings::read(&paths.roots.config)?;
        let tolerant = is_tolerant(pipeline);
        let mut settings = or_default(tolerant, ProjectSettings::read(&paths.build_dir()))?;
        settings.strategy = strategy.or(settings.strategy);
        let mut dotenv = or_default(tolerant, Dotenv::read(&paths.dotenv()))?;
        if pipeline == Pipeline::Deploy && secrets::is_missing(paths, &dotenv) {
            // The run generates the value that is kept.
            dotenv.set(secrets::NAME, &secrets::generate()?)?;
        }
        let domains = or_default(tolerant, domains::read(&paths.build_dir()))?;
        // The release of a failed first deployment never served.
        let current = if paths.is_deployed() { paths.current_release() } else { None };
        let rollback =
            (pipeline == Pipeline::Rollback).then(|| rollback::look(paths, &settings, rollback)).transpose()?;
        let slots = match &rollback {
            Some(rollback) => Slots::of_rollback(rollback, &settings),
            None => {
                let strategy = choose_strategy(paths, &settings, pipeline, current.is_some())?;
                Slots::choose_with_otherwise(paths, &dotenv, &settings, strategy)?
            }
        };
        let host = domains.as_deref().and_then(domains::main);
        let call = MixCall {
            dir: paths.build_dir(),
            env: dotenv.get("MIX_ENV").unwrap_or(&operator.mix_env).to_owned(),
            variables: mix_variables(&dotenv, &operator, slots.port(), host),
        };
        let mix = Mix::new(call, settings.mix.session);
        Ok(Self { paths: paths.clone(), pipeline, operator, settings, dotenv, slots, domains, mix, current, rollback })
    }

    /// Asks mix about the project, except for `rollback` and `unload`, which work without mix.
    ///
    /// # Errors
    /// As [`Mix::ask`].
    fn ask_mix(&self) -> Result<MixFacts> {
        if is_tolerant(self.pipeline) {
            let target = self.rollback.as_ref().map(|rollback| base(&rollback.target).to_owned());
            let version = target.or_else(|| self.current.clone()).unwrap_or_default();
            return Ok(MixFacts { version, ..MixFacts::default() });
        }
        self.mix.ask()
    }

    /// Completes the facts with those from mix.
    ///
    /// # Errors
    /// If something that the pipeline needs is missing or wrong: the error says what, and what to do.
    fn complete(self, source: &Source, facts: MixFacts) -> Result<Gathered> {
        let Self { paths, pipeline, operator, settings, dotenv, slots, domains, mix, current, rollback } = self;
        let paths = &paths;
        let tolerant = is_tolerant(pipeline);
        let mut warnings = Vec::new();
        if !tolerant {
            let required = RequiredVersions::read(&paths.build_dir(), facts.requirement.clone())?;
            warnings = toolchain::check(&required, &facts.versions, &toolchain::managers_of_current_user())?;
            checks::check_facts(paths, &facts)?;
            checks::check_runtime_config(paths, &facts, &mix.call.variables)?;
        }
        let (domains, nginx_template, site) =
            or_default(tolerant, site(paths, &operator, &settings.nginx, domains, &slots.ports))?;
        if !tolerant {
            checks::check_https(&facts, &operator, &domains, &site)?;
        }
        let release = match &rollback {
            Some(rollback) => rollback.release.clone(),
            None => release_name(paths, &facts.version),
        };
        let (commit, soak) = match &rollback {
            Some(RollbackFacts { target, .. }) => {
                let commit = serving::settings(paths, target).get("GATLING_COMMIT").unwrap_or_default().to_owned();
                (commit, takeover::soak(paths, target))
            }
            None => (source.commit.clone(), settings.health.soak),
        };
        let upgrade_dir = paths.releases_dir().join(&release);
        let folder = facts.release_folder.as_ref();
        let folder = folder.map_or(paths.build_dir(), |folder| paths.build_dir().join(folder));
        let server = server::gather(paths, &folder, tolerant)?;
        let callback_module = |pipeline: Pipeline| {
            Some(paths.build_dir().join(pipeline.hooks_file())).filter(|file| file.symlink_metadata().is_ok())
        };

        let facts = Facts {
            available_port: slots.port(),
            available_tasks: facts.tasks.clone(),
            build_dir: paths.build_dir(),
            built_release_path: facts.release_path.clone(),
            deploy_callback_module: callback_module(Pipeline::Deploy),
            deploy_dir: paths.deploy_dir(),
            deploy_path: paths.deploy_dir().join(format!("{}.tar.gz", paths.name)),
            etc_dir: paths.roots.etc_dir.clone(),
            etc_path: paths.init_script(),
            git_hook_path: paths.git_hook(),
            nginx_available_path: paths.nginx_available(),
            nginx_dir: paths.roots.nginx_dir.clone(),
            nginx_enabled_path: paths.nginx_enabled(),
            nginx_template,
            domains,
            project: paths.name.to_string(),
            releases: releases(paths),
            script_template: templates::init_script(paths)?,
            upgrade_callback_module: callback_module(Pipeline::Upgrade),
            upgrade_path: upgrade_dir.join(paths.name.as_str()),
            upgrade_dir,
            version: facts.version.clone(),
            pipeline,
            commit,
            branch: source.branch.clone(),
            previous_version: current,
            strategy: slots.strategy.name(),
            strategy_reason: slots.reason,
            otherwise: None,
            soak,
            slot: slots.slot,
            ports: slots.ports,
            unload_callback_module: callback_module(Pipeline::Unload),
            paths: paths.clone(),
            settings,
            operator,
            rollback,
            mix: facts,
            variables: dotenv.iter().collect(),
            mix_call: mix.call.clone(),
            site,
            server,
            warnings,
        };
        let facts = match slots.otherwise {
            Some(otherwise) => with_otherwise(facts, *otherwise)?,
            None => facts,
        };
        Ok(Gathered { facts, mix, has_fallen_back: Cell::new(false) })
    }
}

/// The facts of an upgrade in place, with those of what is done if it is impossible; or only the latter, if it is impossible
/// already.
fn with_otherwise(facts: Facts, slots: Slots) -> Result<Facts> {
    let mut otherwise = facts.clone();
    if !facts.site.is_own {
        let domains = Some(facts.domains.clone());
        let site = site(&facts.paths, &facts.operator, &facts.settings.nginx, domains, &slots.ports)?;
        (_, otherwise.nginx_template, otherwise.site) = site;
    }
    otherwise.available_port = slots.port();
    otherwise.strategy = slots.strategy.name();
    (otherwise.slot, otherwise.ports) = (slots.slot, slots.ports);
    let Some(obstacle) = obstacle_in_place(&facts)? else {
        otherwise.strategy_reason = slots.reason;
        return Ok(Facts { otherwise: Some(Box::new(otherwise)), ..facts });
    };
    otherwise.strategy_reason = obstacle;
    otherwise.warnings.push(format!(
        "the app cannot be upgraded in place, so the strategy is {} this time: {}",
        otherwise.strategy, otherwise.strategy_reason
    ));
    Ok(otherwise)
}

/// Why the running release cannot be upgraded in place, if that is known already.
fn obstacle_in_place(facts: &Facts) -> Result<Option<String>> {
    let old = Dotenv::read(&facts.paths.current_link().join(".env"))?;
    let new = environment(facts, &facts.variables)?;
    let names: BTreeSet<_> = old.iter().chain(new.iter()).map(|(name, _)| name).collect();
    let changed: Vec<_> = names.into_iter().filter(|name| old.get(name) != new.get(name)).collect();
    Ok(if !changed.is_empty() {
        Some(format!("an app reads its variables when it starts, and these have changed: {}", changed.join(", ")))
    } else if new.get("RELEASE_DISTRIBUTION") == Some("none") {
        Some("nothing can connect to its node, because of RELEASE_DISTRIBUTION=none".to_owned())
    } else {
        None
    })
}

/// Facts, and the mix that reported them.
pub struct Gathered {
    /// The facts.
    pub facts: Facts,
    /// mix, which may still run as a session.
    pub(crate) mix: Mix,
    /// Whether the running release could not be upgraded in place, although that was planned.
    pub(crate) has_fallen_back: Cell<bool>,
}

impl Gathered {
    /// The facts of what was done: after a fallback, not those of what was planned.
    #[must_use]
    pub fn done(&self) -> Cow<'_, Facts> {
        let instead = if self.has_fallen_back.get() { self.facts.instead() } else { None };
        instead.map_or(Cow::Borrowed(&self.facts), Cow::Owned)
    }
}

/// Whether the pipeline must work for a project whose files are damaged, and without mix.
fn is_tolerant(pipeline: Pipeline) -> bool {
    matches!(pipeline, Pipeline::Rollback | Pipeline::Unload)
}

/// Gathers facts about the project, as it is checked out, and about the server. A rollback also says what it goes back to.
///
/// # Errors
/// If something that the pipeline needs is missing or wrong: the error says what, and what to do.
pub fn gather(paths: &ProjectPaths, pipeline: Pipeline, source: &Source, rollback: &Rollback) -> Result<Gathered> {
    let draft = FactsDraft::read(paths, pipeline, rollback, None)?;
    let facts = draft.ask_mix()?;
    draft.complete(source, facts)
}

/// As [`gather`], for an upgrade with the strategy `hot`, whatever the project's settings say.
///
/// # Errors
/// As [`gather`].
pub(crate) fn gather_hot(paths: &ProjectPaths, source: &Source) -> Result<Gathered> {
    let draft = FactsDraft::read(paths, Pipeline::Upgrade, &Rollback::default(), Some(Strategy::Hot))?;
    let facts = draft.ask_mix()?;
    draft.complete(source, facts)
}

fn or_default<T: Default>(tolerant: bool, result: Result<T>) -> Result<T> {
    if tolerant { Ok(result.unwrap_or_default()) } else { result }
}

/// The name of the new release: its version, with a number if there is or was a release of that name. A release's folder
/// is never written again, and its name never used again, because the release may have served.
pub(crate) fn release_name(paths: &ProjectPaths, version: &str) -> String {
    let used = paths.names();
    let is_free =
        |name: &String| !used.contains(name) && !paths.releases_dir().join(name).join(paths.name.as_str()).exists();
    let numbered = (2..).map(|number| format!("{version}+{number}"));
    std::iter::once(version.to_owned()).chain(numbered).find(is_free).expect("there is always another number")
}

/// The releases on the server: first those that never served, by name, then the others, in the order in which they
/// last served.
fn releases(paths: &ProjectPaths) -> Vec<String> {
    let Ok(entries) = fs::read_dir(paths.releases_dir()) else { return Vec::new() };
    let served = paths.served();
    let mut releases: Vec<_> = entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let is_whole = entry.path().join(paths.name.as_str()).is_dir();
            is_whole.then(|| (served.iter().rposition(|other| *other == name), name))
        })
        .collect();
    releases.sort();
    releases.into_iter().map(|(_, name)| name).collect()
}

fn mix_variables(dotenv: &Dotenv, operator: &OperatorSettings, port: u16, host: Option<&str>) -> Variables {
    let mut variables = Variables::default();
    variables.set("MIX_ENV", &operator.mix_env);
    variables.extend(host.map(|host| ("PHX_HOST", host)));
    variables.extend(dotenv.iter());
    variables.set("PORT", &port.to_string());
    variables
}

/// The project's own nginx.conf, if it has one.
fn own_site(paths: &ProjectPaths) -> Result<Option<String>> {
    /// The largest allowed one, in bytes.
    const MAX_SIZE: u64 = 1024 * 1024;
    project_file(&paths.build_dir(), "nginx.conf", MAX_SIZE)
}

/// The host names, the text of the site, and the site: the project's own nginx.conf if it has one, otherwise
/// Gatling's site.
fn site(
    paths: &ProjectPaths,
    operator: &OperatorSettings,
    settings: &SiteSettings,
    domains: Option<Vec<String>>,
    ports: &SlotPorts,
) -> Result<(Vec<String>, String, Site)> {
    let own = own_site(paths)?;
    let has_file = domains.is_some();
    let domains = domains.unwrap_or_default();
    let (text, proof) = match &own {
        // The marker comes last, so that the line numbers in nginx's messages stay correct.
        Some(text) => (format!("{}\n# {}\n", text.trim_end(), templates::marker(&paths.name)), None),
        None if domains.is_empty() => bail!(
            "the project has no {}: list the host names that nginx should serve, for example with \
             `echo www.example.com > domains`, and commit the file",
            if has_file { "host name in its file `domains`" } else { "file `domains`" }
        ),
        None => {
            let assets = paths.assets_dir().filter(|_| nginx::serves_gz_files());
            let site = SiteText::new(
                &operator.nginx,
                settings,
                &domains,
                ports,
                paths.lib_dir().as_deref(),
                assets.as_deref(),
            );
            (site.render(&paths.name)?, Some(site.proof()))
        }
    };
    let site = Site::new(&text, &domains, proof);
    Ok((domains, text, site))
}
