//! Files and folders of a deployment.

use std::collections::HashMap;
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, bail};
use gatling_config::folders::make_private;
use gatling_config::paths::ProjectPaths;
use gatling_pipeline::action::KEPT_RELEASES;

use super::assets;
use super::removal::{NEW, discard, remove_leftovers};
use crate::serving;

/// Writes a file atomically: under another name in the same folder, then renames it.
pub(crate) fn write_file(path: &Path, contents: &str, mode: u32) -> Result<()> {
    let folder = path.parent().context("a file is in a folder")?;
    let write = || -> io::Result<()> {
        let mut file = tempfile::Builder::new().prefix(NEW).tempfile_in(folder)?;
        file.write_all(contents.as_bytes())?;
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
        // Otherwise the file could be empty after a power failure.
        file.as_file().sync_all()?;
        file.persist(path).map_err(|error| error.error)?;
        fs::File::open(folder)?.sync_all()
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Makes sure that a file, or the names in a folder, are on the disk.
pub(super) fn sync(path: &Path) -> Result<()> {
    let sync = || fs::File::open(path)?.sync_all();
    sync().with_context(|| format!("cannot write {} to the disk", path.display()))
}

/// How many files of a release are written to the disk at once.
const SYNC_THREADS: usize = 8;

/// Makes sure that everything below the folder of a release is on the disk, and the name of the folder.
pub(super) fn sync_release(folder: &Path) -> Result<()> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    let mut next = 0;
    while let Some(folder) = folders.get(next) {
        let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
        let (inner, other): (Vec<_>, Vec<_>) =
            entries.flatten().partition(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        let is_file = |entry: &fs::DirEntry| entry.file_type().is_ok_and(|kind| kind.is_file());
        files.extend(other.iter().filter(|entry| is_file(entry)).map(fs::DirEntry::path));
        folders.extend(inner.iter().map(fs::DirEntry::path));
        next += 1;
    }
    files.append(&mut folders);
    files.extend(folder.ancestors().skip(1).take(2).map(Path::to_owned));
    // The disk writes several files at once faster than one after the other.
    thread::scope(|scope| {
        let parts = files.chunks(files.len().div_ceil(SYNC_THREADS));
        let threads: Vec<_> = parts.map(|part| scope.spawn(|| part.iter().try_for_each(|path| sync(path)))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no panic"))
    })
}

/// What changes when a file is written, whatever the clock says: its number, and when it was last changed.
pub(super) type Version = Option<(u64, i64, i64)>;

/// The version of a file; none if it does not exist.
pub(super) fn version(file: &Path) -> Version {
    let file = fs::metadata(file).ok()?;
    Some((file.ino(), file.ctime(), file.ctime_nsec()))
}

/// Fails unless each file was written since it had the version `before`.
pub(super) fn check_written(files: &[PathBuf], before: &[Version]) -> Result<()> {
    let is_old = |(file, before): &(&PathBuf, &Version)| version(file).is_none() || version(file) == **before;
    match files.iter().zip(before).find(is_old).map(|(file, _)| file) {
        None => Ok(()),
        Some(file) => bail!(
            "the assets were built without an error, but {} was not written: read the output above, and check that \
             `assets.deploy` in mix.exs ends with `phx.digest`. The app needs that file because its config sets \
             `cache_static_manifest`",
            file.display()
        ),
    }
}

/// Fails unless mix wrote a new release of this version.
pub(super) fn check_release(marker: &Path, version: &str) -> Result<()> {
    let text = match fs::read_to_string(marker) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "mix release succeeded but wrote no new release: {} does not exist. It may have asked whether to overwrite \
             the old one and got no answer: read its output above, and check whether mix.exs changes what `release` does",
            marker.display()
        ),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", marker.display())),
    };
    match text.split_whitespace().nth(1) {
        Some(built) if built == version => Ok(()),
        built => bail!(
            "mix release built version {}, but mix.exs says {version}: check `releases:` in mix.exs",
            built.unwrap_or("(none)")
        ),
    }
}

/// Records that a release serves, and removes those that are too old for a rollback.
pub(super) fn keep_releases(paths: &ProjectPaths, serves: &str, needed: &[String]) -> Result<()> {
    let mut served = paths.served();
    served.retain(|release| release != serves && paths.releases_dir().join(release).is_dir());
    served.push(serves.to_owned());
    // Copies of the same code, which `gatling restart` makes, count as one, and only two of them are kept.
    let mut copies: HashMap<String, usize> = HashMap::new();
    let mut latest = Vec::new();
    for release in served.into_iter().rev() {
        if copies.len() == KEPT_RELEASES {
            break;
        }
        let settings = serving::settings(paths, &release);
        let code = settings.get("GATLING_COMMIT").filter(|commit| !commit.is_empty()).unwrap_or(&release).to_owned();
        let number = copies.entry(code).or_default();
        *number += 1;
        if *number <= 2 {
            latest.push(release);
        }
    }
    latest.reverse();
    // A process that was upgraded in place still uses Erlang's programs of the release that it was started as.
    let started = serving::all_running(paths).into_iter().map(|running| running.started_as);
    let needed: Vec<_> = needed.iter().cloned().chain(started).collect();
    write_file(&paths.served_file(), &(latest.join("\n") + "\n"), 0o644)?;
    for entry in fs::read_dir(paths.releases_dir()).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if !latest.contains(&name) && !needed.contains(&name) {
            discard(&entry.path(), &paths.deploy_dir())?;
        }
    }
    assets::prune(paths, &[latest, needed].concat());
    Ok(())
}

pub(super) fn append(path: &Path, text: &str) -> Result<()> {
    let write = || -> io::Result<()> {
        match fs::OpenOptions::new().append(true).open(path) {
            Ok(mut file) => file.write_all(text.as_bytes()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(error),
        }
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}

/// Removes a built release except its cookie. mix reuses the cookie, so that old and new nodes can connect.
pub(super) fn clear_release(path: &Path) -> Result<()> {
    let Some(aside) = path.parent() else { return Ok(()) };
    remove_leftovers(aside)?;
    let releases = path.join("releases");
    let cookie = fs::read(releases.join("COOKIE")).ok();
    if path.exists() {
        discard(path, aside)?;
    }
    if let Some(cookie) = cookie {
        make_private(&releases)?;
        fs::write(releases.join("COOKIE"), cookie).context("cannot save the release's cookie")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use gatling_config::roots::Roots;

    use super::*;

    #[test]
    fn the_last_five_releases_that_served_are_kept_in_that_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let roots = Roots::below(folder.path());
        let paths = roots.project(&"hello".parse().expect("a name"));
        let (served, failed) = (["1", "2", "3", "4", "5", "6"], ["7", "8"]);
        for release in served.iter().chain(&failed) {
            fs::create_dir_all(paths.releases_dir().join(release).join("hello")).expect("a folder");
        }
        let keep = |release: &str, needed: &[&str]| {
            let needed: Vec<_> = needed.iter().map(|name| (*name).to_owned()).collect();
            keep_releases(&paths, release, &needed).expect("it can be done");
        };
        fs::write(paths.served_file(), "1\n2\n1\n3\n4\n5\n").expect("a file");

        keep("6", &["6", "7"]);

        assert_eq!(paths.served(), ["1", "3", "4", "5", "6"], "1 served again after 2");
        let is_there = |release: &&str| paths.releases_dir().join(release).exists();
        assert_eq!(served.into_iter().chain(failed).filter(|name| is_there(name)).collect::<String>(), "134567");
        // After a rollback, the restored release is the last one.
        keep("3", &[]);
        assert_eq!(paths.served(), ["1", "4", "5", "6", "3"]);
    }
}
