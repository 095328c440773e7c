//! Maintenance: a page that nginx shows instead of the app while it exists.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use gatling_config::paths::ProjectPaths;
use gatling_config::settings::OperatorSettings;

use crate::perform::{self, removal};
use crate::serving;

/// The largest allowed page, in bytes.
const MAX_PAGE: u64 = 1024 * 1024;

/// The page that is shown if the operator has none.
const PAGE: &str = include_str!("../templates/maintenance.html");

/// Whether visitors get the page instead of the app.
#[must_use]
pub fn is_on(paths: &ProjectPaths) -> bool {
    paths.maintenance_page().is_some_and(|page| page.exists())
}

/// Has nginx show a page instead of the app: the operator's, or a plain one.
///
/// # Errors
/// If the page cannot be read or placed, or nginx does not show it.
pub fn turn_on(paths: &ProjectPaths, page: Option<&Path>) -> Result<()> {
    let text = match page {
        Some(page) => read(page)?,
        None => PAGE.to_owned(),
    };
    let target = target(paths)?;
    if !paths.is_deployed() {
        bail!("{} is not deployed: it has no visitors", paths.name);
    }
    perform::write_file(&target, &text, 0o644)?;
    match serving::visitor_status(paths) {
        Ok(Some(503)) => Ok(()),
        // nginx lets some addresses through, perhaps this server's own.
        Ok(Some(_)) if allows_addresses(paths)? && site_names(paths, &target) => Ok(()),
        result => {
            // Nothing may look as if it were in maintenance.
            _ = removal::remove(&target);
            let found = match result {
                Ok(Some(status)) => format!("nginx answers with {status}"),
                Ok(None) => "no site is installed".to_owned(),
                Err(error) => format!("{error:#}"),
            };
            bail!(
                "nginx does not show the page: {found}. A site that an older version of gatling wrote is updated by the next \
                 push, or with `gatling upgrade {}`; a project's own nginx.conf needs: if (-f {}) {{ return 503; }} (then upgrades fail during maintenance)",
                paths.name,
                target.display()
            )
        }
    }
}

/// Has nginx pass visitors to the app again. Returns whether the page was shown.
///
/// # Errors
/// If the page cannot be removed.
pub fn turn_off(paths: &ProjectPaths) -> Result<bool> {
    removal::remove(&target(paths)?)
}

fn allows_addresses(paths: &ProjectPaths) -> Result<bool> {
    Ok(!OperatorSettings::read(&paths.roots.config)?.nginx.maintenance_allow.is_empty())
}

/// Whether the installed site names the page.
fn site_names(paths: &ProjectPaths, page: &Path) -> bool {
    fs::read_to_string(paths.nginx_enabled()).is_ok_and(|site| site.contains(&page.display().to_string()))
}

fn target(paths: &ProjectPaths) -> Result<std::path::PathBuf> {
    paths.maintenance_page().context("maintenance needs a folder that nginx can read: set GATLING_LIB_DIR")
}

fn read(page: &Path) -> Result<String> {
    let metadata = fs::metadata(page).with_context(|| format!("cannot read {}", page.display()))?;
    if !metadata.is_file() || metadata.len() > MAX_PAGE {
        bail!("{} must be a regular file of at most 1 MB", page.display());
    }
    fs::read_to_string(page).with_context(|| format!("{} is not a text in UTF-8", page.display()))
}
