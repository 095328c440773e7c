//! Folders that nobody but their owner may enter: releases, environments and logs hold secrets.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context, Result};

/// Makes a folder, and those above it, that nobody else can enter. One that is there already is closed
/// to others, if it belongs to this user.
///
/// # Errors
/// When it can't be made.
pub fn make_private(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!("cannot make the folder {}: give the folders above it to the user who deploys", path.display())
    })?;
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_open = metadata.permissions().mode() & 0o077 != 0;
    if is_open && metadata.uid() == rustix::process::geteuid().as_raw() {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot close the folder {} to others", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_closed_to_others_whoever_made_it() {
        let above = tempfile::tempdir().expect("a folder");
        let open = above.path().join("open");
        fs::create_dir(&open).expect("it is new");
        fs::set_permissions(&open, Permissions::from_mode(0o755)).expect("it is ours");
        for folder in [open, above.path().join("a/b")] {
            make_private(&folder).expect("it can be made");
            assert_eq!(fs::metadata(&folder).expect("it is there").permissions().mode() & 0o777, 0o700);
        }
    }
}
