//! The files that Gatling writes for other programs: git, init, logrotate, nginx, and releases.

use std::path::Path;

use anyhow::{Context, Result};
use minijinja::value::Serde;
use minijinja::{Environment, UndefinedBehavior, context};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use gatling_config::paths::ProjectPaths;
use gatling_config::project::ProjectName;
use gatling_config::settings::{Certificate, NginxSettings, SiteSettings};
use gatling_config::slot::{Slot, SlotPorts};
use gatling_process::shell;

/// The text by which Gatling recognizes files that it has written, so that it overwrites no others.
#[must_use]
pub fn marker(project: &ProjectName) -> String {
    format!("Written by gatling for {project}.")
}

/// The post-update git hook. `gatling` is the program that it runs.
///
/// # Errors
/// None in practice: only if the template itself were broken.
pub fn post_update(paths: &ProjectPaths, gatling: &Path) -> Result<String> {
    git_hook(include_str!("../templates/post-update.sh"), paths, gatling, false)
}

/// The pre-receive git hook, which removes what a killed git has left. If it is `strict`, it also deploys the push, which
/// is refused if that fails.
///
/// # Errors
/// None in practice: only if the template itself were broken.
pub fn pre_receive(paths: &ProjectPaths, gatling: &Path, strict: bool) -> Result<String> {
    git_hook(include_str!("../templates/pre-receive.sh"), paths, gatling, strict)
}

fn git_hook(template: &'static str, paths: &ProjectPaths, gatling: &Path, strict: bool) -> Result<String> {
    render(
        template,
        context! {
            marker => marker(&paths.name),
            project => paths.name.as_str(),
            roots => set_roots(paths),
            gatling => text(gatling),
            strict,
        },
    )
}

/// The roots that are set by variables now. The environment of another session doesn't have these variables.
fn set_roots(paths: &ProjectPaths) -> Vec<(&'static str, String)> {
    let set = paths.roots.variables().into_iter().filter(|(name, _)| std::env::var_os(name).is_some());
    set.map(|(name, path)| (name, text(path))).collect()
}

/// The init script, one file for each subject.
const INIT_SCRIPT: &str = concat!(
    include_str!("../templates/init-script/begin.sh"),
    include_str!("../templates/init-script/processes.sh"),
    include_str!("../templates/init-script/node.sh"),
    include_str!("../templates/init-script/health.sh"),
    include_str!("../templates/init-script/units.sh"),
    include_str!("../templates/init-script/stop.sh"),
    include_str!("../templates/init-script/switch.sh"),
    include_str!("../templates/init-script/in-place.sh"),
    include_str!("../templates/init-script/supervisor.sh"),
    include_str!("../templates/init-script/main.sh"),
);

/// The init script. The app runs as the user who deploys it.
///
/// # Errors
/// None in practice: only if the template itself were broken.
pub fn init_script(paths: &ProjectPaths) -> Result<String> {
    render(
        INIT_SCRIPT,
        context! {
            marker => marker(&paths.name),
            project => paths.name.as_str(),
            deploy_dir => text(&paths.deploy_dir()),
            lib_dir => paths.lib_dir().as_deref().map(text).unwrap_or_default(),
            run_lock => text(&paths.run_lock()),
            restarts => text(&paths.restarts_file()),
            sudo_rule => sudo_rule_command(paths),
            unit => paths.unit_files().map(|[_, slots]| text(&slots)).unwrap_or_default(),
            uid => rustix::process::geteuid().as_raw(),
            gid => rustix::process::getegid().as_raw(),
            home => std::env::var("HOME").unwrap_or_else(|_| "/".to_owned()),
        },
    )
}

/// Gatling's templates of the units in [`ProjectPaths::unit_names`].
pub const UNITS: [&str; 2] = [include_str!("../templates/service.unit"), include_str!("../templates/slot.unit")];

/// A unit of systemd. The marker comes last, so that line numbers in systemd's messages stay correct.
///
/// # Errors
/// If the template is invalid, or uses an undefined value.
pub fn unit(paths: &ProjectPaths, template: &str) -> Result<String> {
    let text = render(
        template,
        context! {
            project => paths.name.as_str(),
            script => text(&paths.init_script()),
            user => user_name(),
            group => group_name(),
            deploy_dir => text(&paths.deploy_dir()),
        },
    )?;
    Ok(format!("{}\n# {}\n", text.trim_end(), marker(&paths.name)))
}

/// Migrates the repositories of a release with Ecto's migrator. `REPOS` is a placeholder for them.
pub const MIGRATE_WITH_ECTO: &str = include_str!("../templates/migrate.exs");

/// Undoes the migrations of a release from `OLDEST` on with Ecto's migrator. `REPOS` is a placeholder for its repositories.
pub const UNDO_MIGRATIONS_WITH_ECTO: &str = include_str!("../templates/undo-migrations.exs");

/// The program in Elixir with which a running release is upgraded to another one in place.
pub const IN_PLACE: &str = include_str!("../templates/in-place.exs");

/// The program in Elixir that counts the errors that visitors get.
pub const SOAK: &str = include_str!("../templates/soak.exs");

/// The addition to a release's `env.sh`.
pub const RELEASE_ENV: &str = include_str!("../templates/release-env.sh");

/// The addition to a release's `runtime.exs`, with these lines of config.
#[must_use]
pub fn release_runtime(config: &str) -> String {
    format!("{}{config}", include_str!("../templates/release-runtime.exs"))
}

/// logrotate's configuration for the app's log.
///
/// # Errors
/// None in practice: only if the template itself were broken.
pub fn logrotate(paths: &ProjectPaths) -> Result<String> {
    render(
        include_str!("../templates/logrotate"),
        context! {
            marker => marker(&paths.name),
            logs => [Slot::Blue, Slot::Green].map(|slot| format!("\"{}\"", paths.app_log(slot).display())).join(" "),
            user => user_name(),
            group => group_name(),
        },
    )
}

/// The command by which root lets this user do what deployments of a project need.
#[must_use]
pub fn sudo_rule_command(paths: &ProjectPaths) -> String {
    let variables: String =
        set_roots(paths).iter().map(|(name, path)| format!("{name}={} ", shell::word(path))).collect();
    let print = shell::quoted(&format!("{variables}gatling sudoers {}", paths.name));
    // sudo ignores files with a dot in their names.
    let file = paths.name.as_str().replace('.', "_");
    format!("su - {} -c {print} | install -m 440 /dev/stdin /etc/sudoers.d/gatling-{file}", user_name())
}

/// The name of the user who runs Gatling, or its id if it has no name.
#[must_use]
pub fn user_name() -> String {
    account_name("/etc/passwd", rustix::process::geteuid().as_raw())
}

fn group_name() -> String {
    account_name("/etc/group", rustix::process::getegid().as_raw())
}

/// The name of a user or a group in a file such as `/etc/passwd`, or its id if it has no name there.
fn account_name(file: &str, id: u32) -> String {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    let of_line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        (fields.nth(1)?.parse() == Ok(id)).then_some(name)
    };
    text.lines().find_map(of_line).unwrap_or_else(|| id.to_string())
}

/// The header by which Gatling gets to the app during its maintenance: [`SlotPorts::token`]. Followed by a hyphen and the
/// name of a slot, it also asks nginx for that slot, whichever serves.
pub const SLOT_HEADER: &str = "X-Gatling-Slot";

/// The path at which nginx returns [`SiteText::proof`] and the port that it passes requests to.
pub const PROOF_PATH: &str = "/.well-known/gatling-site";

/// The values of the site of a project without its own nginx.conf.
#[derive(Clone, Debug, Serialize)]
pub struct SiteText<'a> {
    /// The addresses that servers listen on.
    pub listen: &'a [String],
    /// The addresses that servers with a certificate listen on.
    pub https_listen: &'a [String],
    /// The host names without a certificate.
    pub plain: Vec<&'a str>,
    /// The host names with a certificate.
    pub https: Vec<SecuredNames<'a>>,
    /// The port of the blue slot.
    pub blue: u16,
    /// The port of the green slot.
    pub green: u16,
    /// What [`SLOT_HEADER`] begins with.
    pub token: &'a str,
    /// The folder of the files that decide which slot serves, and whether a page for maintenance is shown instead. Without
    /// it, the blue slot always serves.
    pub lib: Option<String>,
    /// The addresses that get to the app during maintenance.
    pub operators: &'a [String],
    /// The largest allowed body of a request, in bytes.
    pub body_size: u64,
    /// Whether visitors come through another proxy, whose `X-Forwarded-Proto` is used.
    pub behind_proxy: bool,
    /// The folder of digested assets and their `.gz` files, if nginx can serve them.
    pub assets: Option<String>,
}

/// Host names that share a certificate.
#[derive(Clone, Debug, Serialize)]
pub struct SecuredNames<'a> {
    /// The host names.
    pub domains: Vec<&'a str>,
    /// The file of the certificate.
    pub certificate: String,
    /// The file of its key.
    pub key: String,
}

impl<'a> SiteText<'a> {
    /// Finds the certificate of each host name.
    #[must_use]
    pub fn new(
        nginx: &'a NginxSettings,
        site: &SiteSettings,
        domains: &'a [String],
        slots: &'a SlotPorts,
        lib: Option<&Path>,
        assets: Option<&Path>,
    ) -> Self {
        let mut plain = Vec::new();
        let mut https: Vec<SecuredNames<'a>> = Vec::new();
        for domain in domains {
            let Some(Certificate { certificate, key, .. }) = nginx.certificate(domain) else {
                plain.push(domain.as_str());
                continue;
            };
            let (certificate, key) = (text(certificate), text(key));
            match https.iter_mut().find(|names| names.certificate == certificate && names.key == key) {
                Some(names) => names.domains.push(domain),
                None => https.push(SecuredNames { domains: vec![domain], certificate, key }),
            }
        }
        Self {
            listen: &nginx.listen,
            https_listen: &nginx.https_listen,
            plain,
            https,
            blue: slots.blue,
            green: slots.green,
            token: &slots.token,
            lib: lib.map(text),
            operators: &nginx.maintenance_allow,
            body_size: site.body_size.as_u64(),
            behind_proxy: nginx.behind_proxy,
            assets: assets.map(text),
        }
    }

    /// A digest of the site, to check that nginx serves exactly this site.
    #[must_use]
    pub fn proof(&self) -> String {
        let what = format!("{self:?} {}", include_str!("../templates/nginx-site.conf"));
        Sha256::digest(what).iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }

    /// The text of the site.
    ///
    /// # Errors
    /// None in practice: only if the template itself were broken.
    pub fn render(&self, project: &ProjectName) -> Result<String> {
        let identifier = variable_part(project);
        let forwarded = match self.behind_proxy {
            true => format!("$gatling_{identifier}_proto"),
            false => "$scheme".to_owned(),
        };
        render(
            include_str!("../templates/nginx-site.conf"),
            context! {
                proof_path => PROOF_PATH,
                proof => self.proof(),
                marker => marker(project),
                identifier,
                forwarded,
                ..minijinja::Value::from(Serde(self))
            },
        )
    }
}

/// What the names of a site's variables in nginx contain: the project's name, if it is short and plain. nginx has a limit for
/// these names, and the variables of all sites have different ones.
fn variable_part(project: &ProjectName) -> String {
    const MAX_LEN: usize = 16;
    let name = project.as_str();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if name.len() <= MAX_LEN && name.chars().all(is_plain) {
        return name.to_owned();
    }
    let digest: String = Sha256::digest(name).iter().take(3).map(|byte| format!("{byte:02x}")).collect();
    let start: String = name.chars().take(9).map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("{start}_{digest}")
}

/// `before-mix-compile` as a name in JavaScript: `beforeMixCompile`.
#[must_use]
pub fn camel(name: &str) -> String {
    let mut words = name.split('-');
    words.next().into_iter().map(str::to_owned).chain(words.map(pascal)).collect()
}

/// `before-mix-compile` as a name in Go: `BeforeMixCompile`.
#[must_use]
pub fn pascal(name: &str) -> String {
    let capitalized = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
    };
    name.split('-').filter_map(capitalized).collect()
}

/// Fills in a template. The text ends with one line ending.
///
/// # Errors
/// When the template is invalid, or uses an undefined value.
pub fn render(template: &str, values: minijinja::Value) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.add_filter("sh", |text: &str| shell::quoted(text));
    // The template engine removes the last line ending.
    Ok(environment.render_str(template, values).context("cannot fill in a template")? + "\n")
}

fn text(path: &Path) -> String {
    path.display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variables_of_each_site_have_short_names_of_their_own() {
        let part = |name: &str| variable_part(&name.parse().expect("a name"));
        assert_eq!(part("shop"), "shop");
        let others =
            ["my-app", "my_app", "my.app", &"a".repeat(64), &"a".repeat(63), "customer_portal_backend"].map(part);
        for (index, other) in others.iter().enumerate() {
            assert!(other.len() <= 16 && !others[..index].contains(other), "{others:?}");
            assert!(other.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{other}");
        }
    }
}
