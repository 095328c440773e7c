//! Copies digested assets to the folder that nginx reads, with the `.gz` files that `mix phx.digest` makes.
//!
//! The assets of all kept releases are in the same folder, because their names are unique. So a page of the old
//! release still finds its assets after the upgrade.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use gatling_config::paths::ProjectPaths;
use gatling_pipeline::action::Publish;

/// The folder below `priv/static` that is published: a Phoenix app serves everything in it to every visitor.
const FOLDER: &str = "assets";

/// Copies the digested assets of a release.
pub(super) fn publish(assets: &Publish) -> Result<()> {
    for (name, file) in digested(&assets.release) {
        let target = assets.to.join(name);
        let copy = || -> io::Result<()> {
            let folder = target.parent().ok_or(io::ErrorKind::InvalidInput)?;
            make_readable(folder)?;
            // The rename is atomic: a visitor may request the file at this moment.
            let new = tempfile::NamedTempFile::new_in(folder)?;
            fs::copy(&file, new.path())?;
            new.as_file().set_permissions(Permissions::from_mode(0o644))?;
            new.as_file().sync_all()?;
            new.persist(&target).map_err(|error| error.error)?;
            fs::File::open(folder)?.sync_all()
        };
        if fs::metadata(&target).map(|file| file.len()).ok() != fs::metadata(&file).map(|file| file.len()).ok() {
            copy().with_context(|| format!("cannot write {}", target.display()))?;
        }
    }
    Ok(())
}

/// Makes a folder that nginx's user can enter, independent of the umask.
fn make_readable(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    folder.parent().map_or(Ok(()), make_readable)?;
    fs::create_dir(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

/// Removes assets that belong to none of these releases.
pub(super) fn prune(paths: &ProjectPaths, releases: &[String]) {
    let Some(folder) = paths.assets_dir() else { return };
    let folder_of = |release: &String| paths.releases_dir().join(release).join(paths.name.as_str());
    let needed: BTreeSet<_> =
        releases.iter().flat_map(|release| digested(&folder_of(release))).map(|(name, _)| name).collect();
    for (name, file) in files(&folder, Path::new("")) {
        if !needed.contains(&name) {
            // A file that cannot be removed only takes up disk space.
            _ = fs::remove_file(file);
        }
    }
}

/// The digested assets of a release: their paths in a URL, and their files.
fn digested(release: &Path) -> Vec<(PathBuf, PathBuf)> {
    let apps = fs::read_dir(release.join("lib")).into_iter().flatten().flatten();
    let assets = apps.flat_map(|app| files(&app.path().join("priv/static").join(FOLDER), Path::new(FOLDER)));
    assets.filter(|(name, _)| name.to_str().is_some_and(is_digested)).collect()
}

/// All files below a folder, with their paths below `name`.
fn files(folder: &Path, name: &Path) -> Vec<(PathBuf, PathBuf)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let (name, path) = (name.join(entry.file_name()), entry.path());
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path, &name)),
            Ok(kind) if kind.is_file() => found.push((name, path)),
            _ => {}
        }
    }
    found
}

/// Whether `mix phx.digest` wrote a file with this name: `app-<32 hexadecimal digits>.js`.
fn is_digested(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let digest = |rest: &str| {
        let digits = rest.bytes().take_while(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)).count();
        digits == 32 && rest.as_bytes().get(32) == Some(&b'.')
    };
    name.match_indices('-').any(|(index, _)| digest(&name[index + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_with_a_digest_are_published() {
        let digest = "6eb7f6bee187f65cf127f228385294d7";
        for name in [format!("assets/app-{digest}.js"), format!("assets/css/my-app-{digest}.css.gz")] {
            assert!(is_digested(&name), "{name}");
        }
        for name in ["assets/app.js".to_owned(), format!("assets/app-{}.js", &digest[1..]), format!("app-{digest}")] {
            assert!(!is_digested(&name), "{name}");
        }
    }

    #[test]
    fn only_assets_of_kept_releases_are_kept() {
        let home = tempfile::tempdir().expect("a folder");
        let roots = gatling_config::roots::Roots {
            lib_dir: Some(home.path().join("lib")),
            ..gatling_config::roots::Roots::below(home.path())
        };
        let paths = roots.project(&"shop".parse().expect("a name"));
        let name = |release: u8| format!("assets/app-{}.js", format!("{release:x}").repeat(32));
        let releases = [1, 2].map(|release: u8| {
            let folder = paths.releases_dir().join(release.to_string()).join("shop");
            let file = folder.join("lib/shop-0.1.0/priv/static").join(name(release));
            fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
            fs::write(&file, "let a;").expect("a file");
            fs::set_permissions(&file, Permissions::from_mode(0o600)).expect("it is ours");
            fs::write(folder.join("lib/shop-0.1.0/priv/static/assets/app.js"), "let a;").expect("a file");
            folder
        });
        let to = paths.assets_dir().expect("there is one");
        for release in releases {
            publish(&Publish { release, to: to.clone() }).expect("it can be copied");
        }
        let found = || {
            let mut found: Vec<_> = files(&to, Path::new("")).into_iter().map(|(name, _)| name).collect();
            found.sort();
            found
        };
        assert_eq!(found(), [name(1), name(2)].map(PathBuf::from));
        let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
        assert_eq!((mode(&to.join(name(1))), mode(&to.join(FOLDER)), mode(&to)), (0o644, 0o755, 0o755));
        prune(&paths, &["2".to_owned()]);
        assert_eq!(found(), [PathBuf::from(name(2))]);
    }
}
