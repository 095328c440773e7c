//! Private folders: releases, environments and logs contain secrets.

use std::fs::{self, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::Path;

use anyhow::{Context, Result};

/// Creates a folder, and those above it, that other users can't enter. If the folder exists and belongs to this
/// user, makes it private.
///
/// # Errors
/// When it can't be created or changed.
pub fn make_private(path: &Path) -> Result<()> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).with_context(|| {
        format!("cannot create the folder {}: give the folders above it to the user who deploys", path.display())
    })?;
    let metadata = fs::metadata(path).with_context(|| format!("cannot read {}", path.display()))?;
    let is_open = metadata.permissions().mode() & 0o077 != 0;
    if is_open && metadata.uid() == rustix::process::geteuid().as_raw() {
        fs::set_permissions(path, Permissions::from_mode(0o700))
            .with_context(|| format!("cannot make the folder {} private", path.display()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_and_an_existing_folder_become_private() {
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
