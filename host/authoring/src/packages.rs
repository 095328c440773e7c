//! The WIT packages that a world may refer to: the contract and, if needed, WASI's.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use wasi_preview1_component_adapter_provider::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER;
use wit_component::{WitPrinter, metadata};

use super::CONTRACT;

/// The folder of the world in a project.
pub(super) const WIT_FOLDER: &str = "wit";

/// The folder of packages in a world's folder. All toolchains look for packages there.
const PACKAGES_FOLDER: &str = "deps";
/// The folder of the contract in the folder of packages.
const CONTRACT_FOLDER: &str = "gatling-hooks";

/// Writes the packages that the world in `dir` needs and that are missing. Existing packages belong to the author
/// and are not changed.
pub(super) fn write_missing(dir: &Path) -> Result<()> {
    let wit = dir.join(WIT_FOLDER);
    let packages = wit.join(PACKAGES_FOLDER);
    let contract = packages.join(CONTRACT_FOLDER).join("hooks.wit");
    if !contract.exists() {
        write(&contract, CONTRACT)?;
    }
    let has_only_contract = fs::read_dir(&packages).is_ok_and(|entries| entries.count() == 1);
    if has_only_contract && uses_wasi(&wit)? {
        for (name, text) in wasi()? {
            write(&packages.join(format!("wasi-{name}")).join("package.wit"), &text)?;
        }
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).with_context(cannot)?;
    }
    fs::write(path, text).with_context(cannot)
}

/// Whether the world refers to WASI.
fn uses_wasi(wit: &Path) -> Result<bool> {
    let entries = fs::read_dir(wit).with_context(|| format!("cannot read {}", wit.display()))?;
    let files = entries.flatten().map(|entry| entry.path());
    let mut files = files.filter(|path| path.extension().is_some_and(|end| end == "wit"));
    Ok(files.any(|path| fs::read_to_string(path).is_ok_and(|text| text.contains("wasi:"))))
}

/// WASI's packages, by name. The adapter for WASI preview 1 contains them.
fn wasi() -> Result<Vec<(String, String)>> {
    let (_, adapter) =
        metadata::decode(WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER).context("cannot read WASI's packages")?;
    let packages = adapter.resolve.packages.iter().filter(|(_, package)| package.name.namespace == "wasi");
    packages
        .map(|(id, package)| {
            let mut printer = WitPrinter::default();
            printer.print(&adapter.resolve, id, &[]).context("cannot print WASI's packages")?;
            Ok((package.name.name.clone(), printer.output.to_string()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::World;

    fn project(world: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        write(&dir.path().join("wit/world.wit"), world).unwrap();
        dir
    }

    #[test]
    fn a_world_that_refers_to_wasi_gets_its_packages() {
        let world = "package my:hooks;\nworld upgrade {\n  import wasi:filesystem/preopens@0.2.12;\n}\n";
        let dir = project(world);
        assert!(World::read(dir.path()).unwrap().is_some());
        assert!(dir.path().join("wit/deps/wasi-filesystem/package.wit").is_file());
    }

    #[test]
    fn packages_of_the_author_are_not_changed() {
        let dir = project("package my:hooks;\nworld upgrade {\n  import wasi:clocks/mine@9.0.0;\n}\n");
        let own = dir.path().join("wit/deps/clocks/mine.wit");
        write(&own, "package wasi:clocks@9.0.0;\ninterface mine {}\n").unwrap();
        let contract = dir.path().join("wit/deps/gatling-hooks/hooks.wit");
        write(&contract, "package gatling:hooks@1.0.0;\n").unwrap();

        assert!(World::read(dir.path()).unwrap().is_some());

        assert_eq!(fs::read_dir(dir.path().join("wit/deps")).unwrap().count(), 2);
        assert_eq!(fs::read_to_string(contract).unwrap(), "package gatling:hooks@1.0.0;\n");
    }

    #[test]
    fn a_world_that_does_not_refer_to_wasi_only_gets_the_contract() {
        let dir = project("package my:hooks;\nworld upgrade {\n  include gatling:hooks/imports@1.2.0;\n}\n");
        assert!(World::read(dir.path()).unwrap().is_some());
        assert_eq!(fs::read_dir(dir.path().join("wit/deps")).unwrap().count(), 1);
    }
}
