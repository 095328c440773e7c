//! Which programs Gatling runs, with which arguments, and what they say: recorded from one
//! upgrade with the real programs.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// The programs that Gatling may run. One that is not in this list is not found later on, and
/// the bench ends with what Gatling says about that.
pub(super) const PROGRAMS: [&str; 8] = ["elixir", "mix", "git", "cp", "mv", "ln", "install", "nginx"];

/// One program that was run.
#[derive(Debug)]
pub(super) struct Call {
    /// Its name, or its path where it was called by one.
    pub(super) program: String,
    pub(super) arguments: Vec<String>,
    pub(super) output: String,
    pub(super) status: i32,
}

/// Programs that note how they are called, and what the real ones they call say.
pub(super) struct Recorder {
    /// The folder to put on the `PATH`.
    pub(super) programs: PathBuf,
    calls: PathBuf,
    path: String,
}

impl Recorder {
    /// Makes recording programs for [`PROGRAMS`] in `folder`; the real ones are on `path`.
    pub(super) fn new(folder: &Path, path: &str) -> Result<Self> {
        let recorder = Self { programs: folder.join("recorders"), calls: folder.join("calls"), path: path.to_owned() };
        fs::create_dir_all(&recorder.programs)?;
        fs::create_dir_all(&recorder.calls)?;
        for program in PROGRAMS {
            recorder.record(&recorder.programs.join(program), program)?;
        }
        Ok(recorder)
    }

    /// Writes a recording program to `place`, which calls `real`.
    pub(super) fn record(&self, place: &Path, real: &str) -> Result<()> {
        // The real program gets the real path: what it runs itself is not Gatling's doing.
        let script = format!(
            r#"#!/bin/sh
export PATH='{path}'
call='{calls}'/$(printf %03d "$(ls '{calls}' | grep -c arguments)")
printf '%s\0' '{name}' "$@" >"$call.arguments"
{{ '{real}' "$@"; echo $? >"$call.status"; }} | tee "$call.output"
exit "$(cat "$call.status")"
"#,
            path = self.path,
            calls = self.calls.display(),
            name = if real.contains('/') { place.display().to_string() } else { real.to_owned() },
        );
        write_program(place, &script)
    }

    /// The calls so far, in order.
    pub(super) fn calls(&self) -> Result<Vec<Call>> {
        (0..).map(|number| self.calls.join(format!("{number:03}"))).map_while(|call| read(&call)).collect()
    }
}

/// Writes a program.
pub(super) fn write_program(place: &Path, text: &str) -> Result<()> {
    fs::write(place, text).with_context(|| format!("writing {}", place.display()))?;
    fs::set_permissions(place, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// Reads a call, if there is one.
fn read(call: &Path) -> Option<Result<Call>> {
    let arguments = fs::read_to_string(call.with_extension("arguments")).ok()?;
    let mut words = arguments.split_terminator('\0').map(str::to_owned);
    let rest = || -> Result<(String, i32)> {
        let status = fs::read_to_string(call.with_extension("status"))?;
        Ok((fs::read_to_string(call.with_extension("output"))?, status.trim().parse()?))
    };
    let program = words.next()?;
    Some(rest().with_context(|| format!("reading what {program} did")).map(|(output, status)| Call {
        program,
        arguments: words.collect(),
        output,
        status,
    }))
}
