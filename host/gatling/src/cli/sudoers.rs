//! `gatling sudoers`.

use std::path::Path;

use anyhow::{Context as _, Result, bail};
use gatling_config::project::ProjectName;
use gatling_config::roots::Roots;
use gatling_pipeline::root::RANDOM_NAME;
use gatling_process::find_program_on;
use gatling_templates as templates;

use super::say;

/// Where programs are that root runs.
const ROOTS_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Print the rule that lets this user deploy a project with sudo
///
/// It allows exactly the commands that deployments of the project run as root, and nothing else. As root:
///
///   su - deploy -c 'gatling sudoers my_app' | install -m 440 /dev/stdin /etc/sudoers.d/gatling-my_app
///
/// What these commands install decides what root runs: see docs/security.md.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(super) struct Args {
    /// The project
    project: ProjectName,
}

pub(super) fn main(args: &Args) -> Result<u8> {
    let paths = Roots::from_environment()?.project(&args.project);
    if rustix::process::geteuid().is_root() {
        bail!(
            "root needs no rule: run this as the user who deploys, for example with su - deploy -c 'gatling sudoers {}'",
            args.project
        );
    }
    let ids = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let mut rule = format!(
        "# What gatling runs as root for {project}, printed by: gatling sudoers {project}\n{user} ALL=(root) NOPASSWD:",
        project = args.project,
        user = user(&templates::user_name()),
    );
    let commands = gatling_pipeline::root::commands(&paths, ids);
    for (index, command) in commands.iter().enumerate() {
        let (program, args) = command.split_first().context("a command has a program")?;
        // One that is not installed is not run either.
        let found = find_program_on(ROOTS_PATH.as_ref(), program, Path::new("/"));
        let program = found.map_or_else(|| format!("/usr/sbin/{program}"), |path| path.display().to_string());
        let args: String = args.iter().map(|arg| format!(" {}", escaped(arg))).collect();
        let separator = if index == 0 { "" } else { "," };
        rule.push_str(&format!("{separator} \\\n    {program}{args}"));
    }
    say(&(rule + "\n"))?;
    Ok(0)
}

/// A user in a rule. One who has no name here is named by its id.
fn user(name: &str) -> String {
    if name.bytes().all(|byte| byte.is_ascii_digit()) { format!("#{name}") } else { name.to_owned() }
}

/// An argument in a rule. Only Gatling's own pattern keeps its meaning.
fn escaped(arg: &str) -> String {
    let (arg, pattern) = arg.strip_suffix(RANDOM_NAME).map_or((arg, ""), |start| (start, RANDOM_NAME));
    let escaped = arg.chars().fold(String::new(), |mut text, c| {
        if matches!(c, ',' | ':' | '=' | '\\' | '!' | '#' | '"' | ' ' | '*' | '?' | '[' | ']') {
            text.push('\\');
        }
        text.push(c);
        text
    });
    escaped + pattern
}
