//! Stand-ins for mix, Elixir and an app, with which a deployment takes less than a second.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::Result;

use crate::Project;

/// Prints the facts about the project: it is what `elixir` is called for.
const ELIXIR: &str = r#"#!/bin/sh
fact() { printf '\ngatling-fact %s\n' "$*"; }
fact elixir 1.18.4
fact otp_release 27
fact otp_root /usr
fact app hello
fact version "$(cat VERSION)"
fact release hello
fact release_path "$PWD/_build/prod/rel/hello"
fact task compile
fact end ''
"#;

/// Builds a release whose program is the stand-in for an app.
const MIX: &str = r#"#!/bin/sh
set -e
version=$(cat VERSION)
case $1:$version in
compile:*-broken) exit 1 ;;
release:*) ;;
*) exit 0 ;;
esac
release=_build/prod/rel/hello
mkdir -p "$release/bin" "$release/lib" "$release/releases/$version"
echo "15.0 $version" >"$release/releases/start_erl.data"
: >"$release/releases/$version/env.sh"
case $version in
*-crashes) echo '#!/bin/false' >"$release/bin/hello" ;;
*) printf '#!/bin/sh\nexec "%s" "%s" "$@"\n' 'APP' "$version" >"$release/bin/hello" ;;
esac
chmod 755 "$release/bin/hello"
"#;

/// Writes the stand-ins for `elixir` and `mix` into a new folder. `app` is the program that stands in for the app.
pub fn write_programs(folder: &Path, app: &str) -> Result<()> {
    fs::create_dir(folder)?;
    for (name, text) in [("elixir", ELIXIR.to_owned()), ("mix", MIX.replace("APP", app))] {
        fs::write(folder.join(name), text)?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Writes the files of a project for them, and commits these.
pub fn write_project(hello: &Project<'_>) -> Result<()> {
    for (file, text) in [
        ("mix.exs", "# The stand-in for mix does not read this.\n"),
        ("domains", "www.example.com\n"),
        ("gatling.toml", "migrate = [\"true\"]\n[mix]\nsession = false\n[health]\nwatch = \"0s\"\nsoak = \"100ms\"\n"),
        ("VERSION", "0.0.0\n"),
    ] {
        hello.write(file, text)?;
    }
    hello.make_repository("An app")
}

/// Commits a version. Each has another host name, so each upgrade changes the site too.
pub fn set_version(hello: &Project<'_>, version: &str, number: u32) -> Result<()> {
    hello.write("VERSION", &format!("{version}\n"))?;
    hello.write("domains", &format!("www.example.com v{number}.example.com\n"))?;
    hello.commit(version)
}
