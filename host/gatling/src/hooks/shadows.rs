//! What a hook that is tried without consequences believes it has changed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::path::PathBuf;

use tempfile::TempDir;
use wasmtime_wasi::filesystem::Dir;
use wasmtime_wasi::p2::FsResult;
use wasmtime_wasi::p2::bindings::filesystem::types::ErrorCode;
use wasmtime_wasi::{FsPerms, OpenMode};

use super::files::Place;

/// The folder that stands for every folder that wasn't made.
pub(super) const EMPTY: &str = "empty";

/// Changes that are not carried out.
#[derive(Default)]
pub(super) struct Shadows {
    dir: Option<TempDir>,
    pub(super) changed: HashMap<Place, Shadow>,
}

pub(super) enum Shadow {
    /// The file of this name in the shadows' own folder.
    File(String),
    Folder,
    Gone,
}

/// What a dry run takes for what is in a place.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Imagined {
    Nothing,
    File,
    Folder,
}

impl Shadows {
    /// The folder of what was written, opened.
    pub(super) fn folder(&mut self) -> FsResult<Dir> {
        let made = match self.dir.take() {
            Some(dir) => dir,
            None => {
                let made = tempfile::tempdir().map_err(|error| ErrorCode::from(&error))?;
                fs::create_dir(made.path().join(EMPTY)).map_err(|error| ErrorCode::from(&error))?;
                made
            }
        };
        let dir = File::open(made.path()).map_err(|error| ErrorCode::from(&error))?;
        self.dir = Some(made);
        Ok(Dir::new(dir, FsPerms::ReadWrite, OpenMode::READ | OpenMode::WRITE, false))
    }

    /// Where the file of that name is.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.as_ref().map(|dir| dir.path().join(name)).unwrap_or_default()
    }
}
