//! The state of the server, as far as a plan depends on it.

mod units;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use gatling_config::dotenv::Dotenv;
use gatling_config::paths::ProjectPaths;
use gatling_config::slot::Slot;
use gatling_pipeline::facts::server::{InstalledSite, Link, Logrotate, Place, ServerFacts};
use gatling_process::Command;
use gatling_templates as templates;

/// Gathers facts about the server. `release_source` is the folder that the release is built from.
///
/// # Errors
/// If the project's own units cannot be used, and this is not `tolerant`.
pub fn gather(paths: &ProjectPaths, release_source: &Path, tolerant: bool) -> Result<ServerFacts> {
    Ok(ServerFacts {
        sudo: needs_sudo(paths),
        has_systemd: has_systemd(),
        must_tell_systemd: must_tell_systemd(paths),
        ids: (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw()),
        has_deploy_dir: paths.deploy_dir().is_dir(),
        has_lib_dir: paths.lib_dir().is_some_and(|folder| folder.is_dir()),
        init_script: fs::read_to_string(paths.init_script()).ok(),
        is_not_enabled: paths.roots.uses_system_init() && !has_systemd() && !is_enabled(paths),
        units: units::gather(paths, tolerant)?,
        logrotate: paths.logrotate_file().map(|path| logrotate(paths, path)).transpose()?,
        site: installed_site(paths),
        serves_in: place(paths),
        names: paths.names(),
        drafts: drafts(paths),
        incomplete_releases: incomplete_releases(paths),
        has_migrate_script: release_source.join("rel/overlays/bin/migrate").is_file(),
    })
}

fn logrotate(paths: &ProjectPaths, path: PathBuf) -> Result<Logrotate> {
    Ok(Logrotate {
        is_installed: path.parent().is_some_and(Path::is_dir),
        text: fs::read_to_string(&path).ok(),
        wanted: templates::logrotate(paths)?,
        path,
    })
}

pub(crate) fn installed_site(paths: &ProjectPaths) -> InstalledSite {
    let available = paths.nginx_available();
    InstalledSite { link: link(&paths.nginx_enabled(), &available), text: fs::read_to_string(available).ok() }
}

/// The state of a symlink that should point to this target.
fn link(path: &Path, target: &Path) -> Link {
    match fs::read_link(path) {
        Ok(found) if found == target => Link::Correct,
        _ if path.symlink_metadata().is_ok() => Link::Other,
        _ => Link::Missing,
    }
}

/// The place of the current release, from its settings.
pub(crate) fn place(paths: &ProjectPaths) -> Option<Place> {
    let settings = Dotenv::read(&paths.current_link().join("service.env")).unwrap_or_default();
    let port = |name: &str| settings.get(name).and_then(|port| port.parse().ok());
    Some(Place {
        slot: Slot::named(settings.get("GATLING_SLOT")),
        port: port("GATLING_PORT")?,
        other_port: port("GATLING_OTHER_PORT"),
        token: settings.get("GATLING_TOKEN").map(str::to_owned),
    })
}

fn drafts(paths: &ProjectPaths) -> Vec<PathBuf> {
    let mut files = vec![paths.init_script(), paths.nginx_available()];
    files.extend(paths.logrotate_file());
    files.extend(paths.unit_files().into_iter().flatten());
    let drafts = |file: PathBuf| {
        let draft = gatling_pipeline::draft(&file);
        let mut drafts = links_of_ln(paths, &file);
        drafts.extend(draft.symlink_metadata().is_ok().then_some(draft));
        drafts
    };
    files.into_iter().flat_map(drafts).collect()
}

/// Links to the project's own text of a file that an `ln -f` which was killed has left beside the file: it makes a link with a
/// random name (`Cu` and six characters), and renames it.
fn links_of_ln(paths: &ProjectPaths, file: &Path) -> Vec<PathBuf> {
    let is_name = |name: &str| {
        name.strip_prefix("Cu")
            .is_some_and(|rest| rest.len() == 6 && rest.bytes().all(|byte| byte.is_ascii_alphanumeric()))
    };
    let marker = templates::marker(&paths.name);
    let entries = file.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let links = entries.filter(|entry| entry.file_name().to_str().is_some_and(is_name)).map(|entry| entry.path());
    links.filter(|link| fs::read_to_string(link).is_ok_and(|text| text.contains(&marker))).collect()
}

fn incomplete_releases(paths: &ProjectPaths) -> Vec<PathBuf> {
    let entries = fs::read_dir(paths.releases_dir()).into_iter().flatten().flatten();
    let mut folders: Vec<_> = entries.map(|entry| entry.path()).collect();
    folders.retain(|folder| !folder.join(paths.name.as_str()).exists());
    folders.sort();
    folders
}

/// Whether systemd runs here.
pub(crate) fn has_systemd() -> bool {
    Path::new("/run/systemd/system").is_dir()
}

/// Whether init calls the project's script at boot: whether there is a link such as `/etc/rc2.d/S01shop`.
fn is_enabled(paths: &ProjectPaths) -> bool {
    let levels = fs::read_dir("/etc").into_iter().flatten().flatten();
    let levels = levels.filter(|entry| entry.file_name().to_str().is_some_and(|name| name.starts_with("rc")));
    let mut links = levels.flat_map(|level| fs::read_dir(level.path())).flatten().flatten();
    let is_link = |name: &str| name.starts_with('S') && name.get(3..) == Some(paths.name.as_str());
    links.any(|link| link.file_name().to_str().is_some_and(is_link))
}

/// Whether systemd runs here, and its service of the project is not active.
pub(crate) fn must_tell_systemd(paths: &ProjectPaths) -> bool {
    let [service, _] = paths.unit_names();
    let ask = Command::new("systemctl", ["is-active", "--quiet", &service], Path::new("/"));
    paths.roots.uses_system_init() && has_systemd() && !ask.stream(|_| {}).is_ok_and(|status| status.success())
}

/// Whether this user cannot write to the system's folders.
pub(crate) fn needs_sudo(paths: &ProjectPaths) -> bool {
    let writable = |dir: &Path| rustix::fs::access(dir, rustix::fs::Access::WRITE_OK).is_ok();
    !rustix::process::geteuid().is_root() && !writable(&paths.roots.etc_dir)
}

#[cfg(test)]
mod tests {
    use gatling_config::roots::Roots;

    use super::*;

    /// A project in its own home, which is removed when the returned guard is dropped.
    fn project() -> (tempfile::TempDir, ProjectPaths) {
        let folder = tempfile::tempdir().expect("a folder");
        let roots = Roots::below(folder.path());
        (folder, roots.project(&"hello".parse().expect("a name")))
    }

    #[test]
    fn release_folders_that_were_never_completed_are_found() {
        let (_guard, paths) = project();
        for made in ["0.1.0/hello", "0.1.1/hello.partial", "0.2.0/hello.partial"] {
            fs::create_dir_all(paths.releases_dir().join(made)).expect("a folder");
        }
        let server = gather(&paths, &paths.build_dir(), false).expect("the server can be read");
        assert_eq!(server.incomplete_releases, ["0.1.1", "0.2.0"].map(|name| paths.releases_dir().join(name)));
    }

    #[test]
    fn what_a_killed_ln_has_left_is_found() {
        let (_guard, paths) = project();
        let script = paths.init_script();
        let folder = script.parent().expect("a folder");
        fs::create_dir_all(folder).expect("a folder");
        for (name, text) in [
            ("Cu0aZb9c", "# Written by gatling for hello.\n"),
            ("CuCuCuCu", "# Written by gatling for hello2.\n"),
            ("Customer", "# Written by gatling for nobody.\n"),
            ("Custom", "# Written by gatling for hello.\n"),
        ] {
            fs::write(folder.join(name), text).expect("a file");
        }
        assert_eq!(drafts(&paths), [folder.join("Cu0aZb9c")]);
    }

    #[test]
    fn the_installed_site_and_its_symlink_are_found() {
        let (_guard, paths) = project();
        let site = || installed_site(&paths);
        assert_eq!(site(), InstalledSite::default());
        let (available, enabled) = (paths.nginx_available(), paths.nginx_enabled());
        for file in [&available, &enabled] {
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
        }
        fs::write(&available, "server {}").expect("a file");
        std::os::unix::fs::symlink(&available, &enabled).expect("a symlink");
        assert_eq!(site(), InstalledSite { text: Some("server {}".to_owned()), link: Link::Correct });
        fs::remove_file(&enabled).expect("it was there");
        fs::write(&enabled, "").expect("a file");
        assert_eq!(site().link, Link::Other);
    }
}
