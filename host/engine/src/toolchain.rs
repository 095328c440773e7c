//! Checks that the versions of Elixir and Erlang that mix runs on fit those that a project requires.

mod manager;
mod required;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use gatling_pipeline::facts::mix::Versions;

pub use manager::{Manager, ManagerName, explain, managers, managers_of_current_user, mise_trust, remedy, shims};
pub use required::{Pin, RequiredVersions, Tool};

/// The full version of Erlang/OTP, such as `27.3.4`, if its folder contains it. `root` is the value of
/// `:code.root_dir()`.
#[must_use]
pub fn otp_version(root: &Path, otp_release: &str) -> Option<String> {
    let text = fs::read_to_string(root.join("releases").join(otp_release).join("OTP_VERSION")).ok()?;
    // A version that was patched by hand ends with `**`.
    let version = text.trim().trim_end_matches('*');
    numbers(version).map(|_| version.to_owned())
}

fn version_of(versions: &Versions, tool: Tool) -> &str {
    match tool {
        Tool::Elixir => &versions.elixir,
        Tool::Erlang => versions.otp_version.as_deref().unwrap_or(&versions.otp_release),
    }
}

/// Compares the versions that the project requires with those that mix runs on. Returns a warning for each harmless
/// difference: a newer patch release, or an older version.
///
/// # Errors
/// If the requirement in mix.exs is not met, or a file requires a newer major or minor version of Elixir or a newer
/// major version of Erlang. The error says which file requires which version, which versions are installed, and how
/// to install others with the available version managers.
pub fn check(required: &RequiredVersions, installed: &Versions, managers: &[Manager]) -> Result<Vec<String>> {
    let has = format!("mix runs on Elixir {} and Erlang/OTP {}", installed.elixir, version_of(installed, Tool::Erlang));
    let (mut unmet, mut warnings) = (Vec::new(), Vec::new());
    if let Some(requirement) = required.requirement.as_ref().filter(|requirement| !requirement.is_met) {
        unmet.push(format!("mix.exs requires Elixir {:?}", requirement.text));
    }
    for pin in &required.pins {
        match fit(pin, version_of(installed, pin.tool)) {
            Fit::Fits => {}
            Fit::Newer => unmet.push(pin.to_string()),
            Fit::NewerPatch => warnings.push(format!("{pin}, but {has} (slightly older)")),
            Fit::Older => warnings.push(format!("{pin}, but {has} (newer)")),
        }
    }
    if unmet.is_empty() {
        return Ok(warnings);
    }
    let unmet: String = unmet.iter().map(|what| format!("\n    {what}")).collect();
    bail!(
        "the project requires another version of Elixir or Erlang:{unmet}\n{has}.\n{}",
        manager::how_to_install(required, managers)
    )
}

/// How a pinned version compares with the installed one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// The installed version is the same, as far as the pin is specific, or a later patch release.
    Fits,
    /// The pin is newer, and the project may use features that the installed version does not have.
    Newer,
    /// The pin is a later patch release of the same version.
    NewerPatch,
    /// The pin is older.
    Older,
}

fn fit(pin: &Pin, installed: &str) -> Fit {
    // Versions such as "ref:main" and "system" cannot be compared.
    let (Some(pinned), Some(installed)) = (numbers(&pin.version), numbers(installed)) else { return Fit::Fits };
    let compare = |from: usize, to: usize| {
        let part = |numbers: &[u64]| numbers[from.min(numbers.len())..to.min(numbers.len())].to_vec();
        // "1.18" means any 1.18, so only the numbers that both have are compared.
        let (pinned, installed) = (part(&pinned), part(&installed));
        let both = pinned.len().min(installed.len());
        pinned[..both].cmp(&installed[..both])
    };
    // Elixir adds features with its second number, Erlang/OTP with its first.
    let significant = if pin.tool == Tool::Elixir { 2 } else { 1 };
    match (compare(0, significant), compare(significant, usize::MAX)) {
        (Ordering::Greater, _) => Fit::Newer,
        (Ordering::Less, _) => Fit::Older,
        (Ordering::Equal, Ordering::Greater) => Fit::NewerPatch,
        (Ordering::Equal, _) => Fit::Fits,
    }
}

/// The numbers of a version: `1.18.4-otp-27` has 1, 18 and 4.
fn numbers(version: &str) -> Option<Vec<u64>> {
    let core = version.split(['-', '+']).next()?;
    core.split('.').map(|number| number.parse().ok()).collect()
}
