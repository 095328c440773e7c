//! The steps that configure nginx for the project.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use gatling_nginx::config::{self, parse};
use gatling_nginx::servers::{self, Server};
use gatling_nginx::{Endpoints, Transport};
use gatling_process::Command;
use gatling_runs::Change;
use gatling_templates as templates;

use super::{copy, draft, replace, system_command};
use crate::action::{Action, SiteInUse, SiteInstallation, SiteProof, SiteTrial, Visits};
use crate::facts::Facts;
use crate::facts::server::{InstalledSite, Link, Place};

/// The text of the installed site, and whether it is enabled.
///
/// # Errors
/// If one of its files exists and Gatling did not write it.
fn installed(facts: &Facts) -> Result<(Option<&str>, bool)> {
    let InstalledSite { text, link } = &facts.server.site;
    if text.as_ref().is_some_and(|text| !text.contains(&templates::marker(&facts.paths.name))) {
        bail!(
            "{} already exists and gatling did not write it: if it is yours, commit it to the project as nginx.conf and \
             remove it here",
            facts.nginx_available_path.display()
        );
    }
    if *link == Link::Other {
        bail!(
            "{} already exists and is not gatling's symlink to {}: move it away",
            facts.nginx_enabled_path.display(),
            facts.nginx_available_path.display()
        );
    }
    Ok((text.as_deref(), *link == Link::Correct))
}

pub(crate) fn configure(facts: &Facts) -> Result<Vec<Action>> {
    Ok(vec![Action::InstallSite(Box::new(site(facts)?))])
}

fn site(facts: &Facts) -> Result<SiteInstallation> {
    let (old, enabled) = installed(facts)?;
    let available = facts.nginx_available_path.display().to_string();
    let link = facts.nginx_enabled_path.display().to_string();
    let staged = staged(facts);
    let backup = facts.deploy_dir.join("nginx-site.old");
    let draft = draft(&facts.nginx_available_path);
    Ok(SiteInstallation {
        path: facts.nginx_available_path.clone(),
        link: facts.nginx_enabled_path.clone(),
        copy: copy(facts, &staged, &draft, "644"),
        place: replace(facts, &draft, &facts.nginx_available_path).into(),
        // Without -f, which would make a link of another name first: if it was killed then, nginx would read the site twice.
        enable: system_command(facts, "ln", ["-sT", &available, &link]),
        test: call(facts, &["-t"]),
        reload: call(facts, &["-s", "reload"]),
        dump: call(facts, &["-T"]),
        proof: proof(facts),
        visits: visits(facts, facts.site.servers.clone()),
        restore: [copy(facts, &backup, &draft, "644")]
            .into_iter()
            .chain(replace(facts, &draft, &facts.nginx_available_path))
            .collect(),
        remove: system_command(facts, "rm", ["-f", &available]),
        disable: system_command(facts, "rm", ["-f", &link]),
        unchanged: enabled && old == Some(&facts.nginx_template),
        lock: lock(facts),
        contents: facts.nginx_template.clone(),
        trial: trial(facts, &staged),
        draft,
        staged,
        backup,
    })
}

/// How the site is tested.
fn trial(facts: &Facts, staged: &Path) -> SiteTrial {
    let config = facts.nginx_dir.join(format!("gatling-trial-{}.conf", facts.project));
    let (draft, target) = (facts.deploy_dir.join("nginx-trial"), config.display().to_string());
    SiteTrial {
        dump: call(facts, &["-T"]),
        link: facts.nginx_enabled_path.clone(),
        staged: staged.to_owned(),
        text: facts.nginx_template.clone(),
        place: system_command(facts, "install", ["-m", "644", &draft.display().to_string(), &target]),
        remove: system_command(facts, "rm", ["-f", &target]),
        nginx: call_with(facts, Some(&config), &[]),
        config,
        draft,
        hosts: facts.site.hosts.clone(),
        path: facts.settings.health.path.clone(),
        headers: pass(facts).into_iter().collect(),
        ports: match facts.site.is_own {
            true => vec![facts.available_port],
            false => vec![facts.ports.blue, facts.ports.green],
        },
        project: facts.project.clone(),
    }
}

/// The header with which maintenance does not keep Gatling out.
fn pass(facts: &Facts) -> Option<String> {
    (!facts.site.is_own).then(|| format!("{}: {}", templates::SLOT_HEADER, facts.ports.token))
}

fn staged(facts: &Facts) -> PathBuf {
    facts.deploy_dir.join("nginx-site")
}

fn lock(facts: &Facts) -> PathBuf {
    facts.paths.roots.home.join(".gatling").join("nginx.lock")
}

/// How to check that nginx uses the site, if it is Gatling's own and listens without TLS.
fn proof(facts: &Facts) -> Option<SiteProof> {
    let answer = facts.site.proof.clone()?;
    let host = facts.site.hosts.first()?.clone();
    match facts.site.endpoints(&host).http? {
        Transport::Tcp(address) => Some(SiteProof { address, host, answer }),
        Transport::Unix(_) => None,
    }
}

/// The site that visitors use after the upgrade, which may have moved the app to another port.
pub(crate) fn in_use(facts: &Facts) -> Result<SiteInUse> {
    let (text, enabled) = installed(facts)?;
    let Some(text) = text.filter(|_| enabled) else { return Ok(SiteInUse::None) };
    let moves = |place: &Place| place.slot != facts.slot || place.port != facts.available_port;
    if facts.server.serves_in.as_ref().is_some_and(moves) {
        return Ok(SiteInUse::Moved(Box::new(site(facts)?)));
    }
    let servers = servers::servers(&parse(text, "the site").unwrap_or_default());
    Ok(SiteInUse::InPlace(visits(facts, servers)))
}

/// Whether the installed site passes requests to both slots at the ports of this run.
///
/// # Errors
/// As [`installed`].
pub(crate) fn knows_ports(facts: &Facts) -> Result<bool> {
    let (text, enabled) = installed(facts)?;
    // How the site chooses the port.
    let choices = |text: &str| {
        let directives = parse(text, "the site").unwrap_or_default();
        let mut choices = BTreeSet::new();
        config::visit(&directives, &mut |directive| {
            if matches!(directive.name(), "set" | "if" | "map") {
                choices.insert(config::text(std::slice::from_ref(directive)));
            }
        });
        choices
    };
    Ok(enabled && text.is_some_and(|text| choices(text) == choices(&facts.nginx_template)))
}

pub(crate) fn unconfigure(facts: &Facts) -> Result<Vec<Action>> {
    let text = facts.server.site.text.as_ref();
    let is_ours = text.is_some_and(|text| text.contains(&templates::marker(&facts.paths.name)));
    if !is_ours {
        return Ok(vec![Action::skip(format!("{} does not exist", facts.nginx_available_path.display()))]);
    }
    let (link, available) =
        (facts.nginx_enabled_path.display().to_string(), facts.nginx_available_path.display().to_string());
    let actions = vec![
        Action::run(system_command(facts, "rm", ["-f", &link, &available])),
        Action::Try { command: call(facts, &["-s", "reload"]) },
    ];
    Ok(vec![Action::change(Change::Site, "no site", actions, Vec::new())])
}

/// A call of nginx with the configuration that the facts name.
fn call(facts: &Facts, args: &[&str]) -> Command {
    let config = facts.nginx_dir.join("nginx.conf");
    let chosen = (!facts.paths.roots.uses_system_nginx()).then_some(config);
    call_with(facts, chosen.as_deref(), args)
}

fn call_with(facts: &Facts, config: Option<&Path>, args: &[&str]) -> Command {
    let config = config.map(|config| config.display().to_string());
    let chosen = config.iter().flat_map(|config| ["-c", config]);
    Command::new("nginx", chosen.chain(args.iter().copied()), &facts.deploy_dir_or_root()).as_root(facts.server.sudo)
}

/// Visits to the hosts of the facts. `servers` may be those of an older site: hosts that they do not have are left
/// out.
fn visits(facts: &Facts, servers: Vec<Server>) -> Visits {
    let is_served = |host: &&String| servers::endpoints(&servers, host) != Endpoints::default();
    Visits {
        hosts: facts.site.hosts.iter().filter(is_served).cloned().collect(),
        path: facts.settings.health.path.clone(),
        headers: [facts.operator.nginx.behind_proxy.then(|| "X-Forwarded-Proto: https".to_owned()), pass(facts)]
            .into_iter()
            .flatten()
            .collect(),
        servers,
    }
}
