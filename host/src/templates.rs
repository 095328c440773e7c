//! The files that Gatling writes for others to read: git, init, nginx, and authors of hooks.

use std::path::Path;

use anyhow::{Context, Result};
use minijinja::{Environment, UndefinedBehavior, context};
use sha2::{Digest as _, Sha256};

use crate::project::ProjectName;
use crate::roots::ProjectPaths;
use crate::shell;

/// The words by which Gatling knows its own files again, so that it replaces no others.
#[must_use]
pub fn marker(project: &ProjectName) -> String {
    format!("Written by gatling for {project}.")
}

/// The post-update hook: `gatling` is the program it calls.
///
/// # Errors
/// None in practice: only if the template itself were broken.
pub fn post_update(paths: &ProjectPaths, gatling: &Path) -> Result<String> {
    // A push over ssh comes without them.
    let roots = paths.roots.variables().into_iter().filter(|(name, _)| std::env::var_os(name).is_some());
    let roots: Vec<_> = roots.map(|(name, path)| (name, text(path))).collect();
    render(
        include_str!("../templates/post-update.sh"),
        context! {
            marker => marker(&paths.name),
            project => paths.name.as_str(),
            roots,
            gatling => text(gatling),
        },
    )
}

/// The init script. The app runs as the user who deploys it.
///
/// # Errors
/// None in practice: only if the template itself were broken.
pub fn init_script(paths: &ProjectPaths) -> Result<String> {
    render(
        include_str!("../templates/init-script.sh"),
        context! {
            marker => marker(&paths.name),
            project => paths.name.as_str(),
            deploy_dir => text(&paths.deploy_dir()),
            uid => rustix::process::geteuid().as_raw(),
            gid => rustix::process::getegid().as_raw(),
            home => std::env::var("HOME").unwrap_or_else(|_| "/".to_owned()),
        },
    )
}

/// The path at which a site says which one it is.
pub const PROOF_PATH: &str = "/.well-known/gatling-site";

/// What a site of [`nginx_site`] says at [`PROOF_PATH`]: it differs wherever the site does.
#[must_use]
pub fn site_proof(listen: &[String], domains: &[String], port: u16) -> String {
    let what = format!("{listen:?} {domains:?} {port} {}", include_str!("../templates/nginx-site.conf"));
    Sha256::digest(what).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// The site that proxies `domains` to `port`.
///
/// # Errors
/// None in practice: only if the template itself were broken.
pub fn nginx_site(paths: &ProjectPaths, listen: &[String], domains: &[String], port: u16) -> Result<String> {
    render(
        include_str!("../templates/nginx-site.conf"),
        context! {
            proof_path => PROOF_PATH,
            proof => site_proof(listen, domains, port),
            marker => marker(&paths.name),
            identifier => paths.name.identifier(),
            listen => listen.to_vec(),
            domains => domains.to_vec(),
            port,
        },
    )
}

/// `before-mix-compile` as a name in JavaScript: `beforeMixCompile`.
#[must_use]
pub(crate) fn camel(name: &str) -> String {
    let mut words = name.split('-');
    words.next().into_iter().map(str::to_owned).chain(words.map(pascal)).collect()
}

/// `before-mix-compile` as a name in Go: `BeforeMixCompile`.
#[must_use]
pub(crate) fn pascal(name: &str) -> String {
    let capitalized = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('-').filter_map(capitalized).collect()
}

/// Fills in a template; the text ends with one line end.
pub(crate) fn render(template: &str, values: minijinja::Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("sh", |text: &str| shell::quoted(text));
    // The template engine takes the last line end off.
    Ok(environment.render_str(template, values).context("cannot fill in a template")? + "\n")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}
