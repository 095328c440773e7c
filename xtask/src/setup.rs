//! Finding out what this machine lacks, and installing it.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use gatling_tests::postgres;
use gatling_tests::tools::rust::Toolchain;
use rustix::process::geteuid;

use crate::{shell, tools};

/// Something that the demo or the tests can't do without.
pub(crate) struct Need {
    name: &'static str,
    why: &'static str,
    source: Source,
    is_met: fn() -> bool,
}

/// Where to get it.
#[derive(Clone, Copy)]
enum Source {
    /// These packages of Debian's.
    Apt(&'static [&'static str]),
    /// Something that is put into the target folder.
    Target(fn() -> Result<()>),
}

/// Elixir; Debian's package brings the parts of Erlang that `mix release` needs.
pub(crate) const ELIXIR: Need = Need {
    name: "Elixir",
    why: "to build and run the apps",
    source: Source::Apt(&["elixir"]),
    is_met: || shell::is_installed("mix"),
};

/// The parts of Erlang that Debian's Elixir does without, but not what Phoenix depends on.
const ERLANG: Need = Need {
    name: "all of Erlang",
    why: "to build Phoenix apps in the tests",
    source: Source::Apt(&["erlang-dev", "erlang-xmerl"]),
    is_met: tools::can_compile_phoenix,
};

/// nginx, without the modules that are not in every build of it.
pub(crate) const NGINX: Need = Need {
    name: "nginx",
    why: "to serve the app",
    source: Source::Apt(&["nginx-light"]),
    is_met: || shell::is_installed("nginx"),
};

/// A generator of load, for the bench.
pub(crate) const WRK: Need = Need {
    name: "wrk",
    why: "to put load on nginx in the bench",
    source: Source::Apt(&["wrk"]),
    is_met: || shell::is_installed("wrk"),
};

/// git, for pushing.
pub(crate) const GIT: Need =
    Need { name: "git", why: "to push the app", source: Source::Apt(&["git"]), is_met: || shell::is_installed("git") };

/// curl, with which init scripts and the demo ask the app.
pub(crate) const CURL: Need = Need {
    name: "curl",
    why: "to ask the app whether it answers",
    source: Source::Apt(&["curl"]),
    is_met: || shell::is_installed("curl"),
};

/// An ssh server; the tests start one of their own with it.
pub(crate) const SSHD: Need = Need {
    name: "sshd",
    why: "to push over ssh in the tests",
    source: Source::Apt(&["openssh-server"]),
    is_met: || shell::is_installed("sshd"),
};

/// sudo, with which a user who deploys does what needs root's rights.
pub(crate) const SUDO: Need = Need {
    name: "sudo",
    why: "to deploy as a user without root's rights in the tests",
    source: Source::Apt(&["sudo"]),
    is_met: || shell::is_installed("sudo"),
};

/// A PostgreSQL server; the tests start clusters of their own with it.
pub(crate) const POSTGRES: Need = Need {
    name: "PostgreSQL",
    why: "to run apps with a database in the tests",
    source: Source::Apt(&["postgresql"]),
    is_met: || postgres::programs().is_ok() && shell::is_installed("psql"),
};

/// A browser, and the program that drives it.
const BROWSER: Need = Need {
    name: "Chromium",
    why: "to look at apps as a visitor does in the tests",
    source: Source::Apt(&["chromium", "chromium-driver"]),
    is_met: tools::has_browser,
};

/// systemd, which the tests boot on machines of their own, and what they look at these with.
const SYSTEMD: Need = Need {
    name: "systemd",
    why: "to run apps as services in the tests; it is not started on this machine",
    source: Source::Apt(&["systemd", "iproute2", "procps"]),
    is_met: || Path::new("/lib/systemd/systemd").exists() && shell::is_installed("ip") && shell::is_installed("pgrep"),
};

/// What rotates the logs of apps.
const LOGROTATE: Need = Need {
    name: "logrotate",
    why: "to rotate the logs of apps in the tests",
    source: Source::Apt(&["logrotate"]),
    is_met: || shell::is_installed("logrotate"),
};

/// What makes clocks jump in the tests.
const FAKETIME: Need = Need {
    name: "faketime",
    why: "to make the clock jump in the tests",
    source: Source::Apt(&["faketime"]),
    is_met: || gatling_tests::tools::faketime().is_ok(),
};

/// What makes certificates for the tests.
const OPENSSL: Need = Need {
    name: "openssl",
    why: "to make certificates for the tests",
    source: Source::Apt(&["openssl"]),
    is_met: || shell::is_installed("openssl"),
};

/// What compiles Rust to components: a rustup target, or else Debian's compiler.
pub(crate) const GUESTS: Need = Need {
    name: "Rust for WebAssembly",
    why: "to build hooks; `rustup target add wasm32-wasip2` does as well",
    source: Source::Apt(&["rustc-web", "rust-web-src", "libstd-rust-web-dev", "wasi-libc"]),
    is_met: || Toolchain::find().is_ok(),
};

/// What compiles C to components.
const C: Need = Need {
    name: "clang for WebAssembly",
    why: "to build hooks in C",
    source: Source::Apt(&["clang", "lld", "wasi-libc", "libclang-rt-dev-wasm32"]),
    is_met: tools::can_compile_c,
};

/// Node, with npm, which gets the rest of what JavaScript needs.
const NODE: Need = Need {
    name: "Node",
    why: "to build hooks in JavaScript",
    source: Source::Apt(&["nodejs", "npm"]),
    is_met: || shell::is_installed("node") && shell::is_installed("npm"),
};

/// Python, with what makes virtual environments.
const PYTHON: Need = Need {
    name: "Python",
    why: "to install tools for hooks into the target folder",
    source: Source::Apt(&["python3", "python3-venv"]),
    is_met: tools::has_venv,
};

/// Tools that are Python packages, whatever their language.
const PYTHON_TOOLS: Need = Need {
    name: "componentize-py, Zig, Go",
    why: "to build hooks in Python, Zig and Go; from pip",
    source: Source::Target(tools::install_python_tools),
    is_met: tools::has_python_tools,
};

/// The module that bindings for Go need.
const GO_MODULE: Need = Need {
    name: "a module of Go's",
    why: "to build hooks in Go; from the crate that writes their bindings",
    source: Source::Target(tools::install_go_module),
    is_met: tools::has_go_module,
};

/// What building all hooks needs. What is made with others comes after them.
pub(crate) const HOOKS: [Need; 6] = [GUESTS, C, NODE, PYTHON, PYTHON_TOOLS, GO_MODULE];

/// What the demo needs.
pub(crate) const DEMO: [Need; 5] = [ELIXIR, NGINX, GIT, CURL, GUESTS];

/// What trying a stock Phoenix app needs.
pub(crate) const PHOENIX: [Need; 9] = [ELIXIR, ERLANG, NGINX, GIT, CURL, SSHD, POSTGRES, BROWSER, OPENSSL];

/// What the demo or the tests need.
pub(crate) const ALL: [Need; 19] = [
    ELIXIR,
    ERLANG,
    NGINX,
    GIT,
    CURL,
    SSHD,
    SUDO,
    POSTGRES,
    BROWSER,
    SYSTEMD,
    LOGROTATE,
    OPENSSL,
    FAKETIME,
    GUESTS,
    C,
    NODE,
    PYTHON,
    PYTHON_TOOLS,
    GO_MODULE,
];

/// Installs `$@`. A `policy-rc.d` that says 101 keeps Debian's packages from starting their
/// services, and a setting keeps PostgreSQL's from creating a cluster, which would start with the
/// machine. Each is put there only where there is none, and removed however this ends: left
/// behind, it would change what later packages do.
const INSTALL: &str = r#"
set -eu
remove=
trap 'rm -f $remove' EXIT
trap 'exit 130' INT TERM HUP
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    remove="$policy"
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi
cluster=/etc/postgresql-common/createcluster.d/gatling.conf
if [ ! -e "$cluster" ]; then
    remove="$remove $cluster"
    mkdir -p "${cluster%/*}"
    echo 'create_main_cluster = false' >"$cluster"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq -o DPkg::Lock::Timeout=300
apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"
"#;

/// Installs those of `needs` that this machine lacks. Where it lacks none, nothing is run.
pub(crate) fn ensure(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.is_met)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    println!("This machine lacks:");
    for need in &missing {
        println!("  {:26}{}", need.name, need.why);
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.source.packages()).copied().collect();
    if !packages.is_empty() {
        if !shell::is_installed("apt-get") {
            bail!(
                "there is no apt-get here to install it with: install it yourself, then try again \
                 (on Debian the packages are {})",
                packages.join(" ")
            );
        }
        install(&packages)?;
    }
    for need in &missing {
        if let Source::Target(make) = need.source {
            make().with_context(|| format!("installing {}", need.name))?;
        }
    }
    match missing.iter().find(|need| !(need.is_met)()) {
        Some(need) => bail!("{} is still not to be found after installing it", need.name),
        None => Ok(()),
    }
}

impl Source {
    fn packages(self) -> &'static [&'static str] {
        match self {
            Self::Apt(packages) => packages,
            Self::Target(_) => &[],
        }
    }
}

fn install(packages: &[&str]) -> Result<()> {
    println!("Installing it with apt-get, which takes a minute or two; no service is started:");
    println!("$ apt-get install {}", packages.join(" "));
    let mut command = installer()?;
    let output = command
        .args(["sh", "-c", INSTALL, "install"])
        .args(packages)
        .stdin(Stdio::null())
        .output()
        .context("starting apt-get")?;
    if !output.status.success() {
        bail!(
            "apt-get could not install {}; it said:\n{}{}",
            packages.join(" "),
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(())
}

/// A command that runs its arguments as root.
fn installer() -> Result<Command> {
    if geteuid().is_root() {
        Ok(Command::new("env"))
    } else if shell::is_installed("sudo") {
        Ok(Command::new("sudo"))
    } else {
        bail!("apt-get needs root, and there is no sudo here: run `cargo xtask setup` as root once")
    }
}
