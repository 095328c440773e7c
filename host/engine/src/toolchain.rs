//! Which Elixir and Erlang a project asks for, which ones mix runs on, and whether they fit.

mod asked;
mod manager;
#[cfg(test)]
mod tests;

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use anyhow::{Result, bail};

use gatling_pipeline::facts::mix::Versions;

pub use asked::{Asked, Pin, Tool};
pub use manager::{Manager, ManagerName, explain, managers, mise_trust, of_user, remedy, shims};

/// The full version of Erlang/OTP, such as `27.3.4`, where its folder says it. `root` is what
/// `:code.root_dir()` returns.
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

/// Compares what the project asks for with what mix runs on. Returns a warning for each
/// difference that need not matter: a newer patch release, or an older version.
///
/// # Errors
/// When the requirement in mix.exs does not hold, or a file asks for a newer major or minor version
/// of Elixir or a newer major version of Erlang. The error says which file asks for what, what is
/// there, and what to do with the version managers that are installed.
pub fn check(asked: &Asked, there: &Versions, managers: &[Manager]) -> Result<Vec<String>> {
    let has = format!("mix runs on Elixir {} and Erlang/OTP {}", there.elixir, version_of(there, Tool::Erlang));
    let (mut unmet, mut warnings) = (Vec::new(), Vec::new());
    if let Some(requirement) = asked.requirement.as_ref().filter(|requirement| !requirement.holds) {
        unmet.push(format!("mix.exs asks for Elixir {:?}", requirement.text));
    }
    for pin in &asked.pins {
        match fit(pin, version_of(there, pin.tool)) {
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
    bail!("the project asks for another Elixir or Erlang:{unmet}\n{has}.\n{}", manager::how_to_install(asked, managers))
}

/// How a pinned version compares with the one that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    /// It is the same, as far as the pin goes, or a later patch release of it.
    Fits,
    /// The pin is newer, and what it is for may use what isn't there.
    Newer,
    /// The pin is a later patch release of the same version.
    NewerPatch,
    /// The pin is older.
    Older,
}

fn fit(pin: &Pin, there: &str) -> Fit {
    // "ref:main", "system" and their like can't be compared.
    let (Some(pinned), Some(there)) = (numbers(&pin.version), numbers(there)) else { return Fit::Fits };
    let compare = |from: usize, to: usize| {
        let part = |numbers: &[u64]| numbers[from.min(numbers.len())..to.min(numbers.len())].to_vec();
        // "1.18" is any 1.18, so only as many numbers count as both have.
        let (pinned, there) = (part(&pinned), part(&there));
        let both = pinned.len().min(there.len());
        pinned[..both].cmp(&there[..both])
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
