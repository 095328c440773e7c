//! Real files of projects, and folders as version managers create them.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use gatling_pipeline::facts::mix::Requirement;
use rustix::fs::{CWD, FileType, Mode, mknodat};
use tempfile::TempDir;

use super::manager::managers_in;
use super::*;

const BOOKWORM: (&str, &str) = ("1.14.0", "25.2.3");
const TRIXIE: (&str, &str) = ("1.18.3", "27.3.4.1");

fn versions((elixir, otp): (&str, &str)) -> Versions {
    let otp_release = otp.split('.').next().expect("a number").to_owned();
    Versions { elixir: elixir.to_owned(), otp_release, otp_version: Some(otp.to_owned()) }
}

fn project(files: &[(&str, &str)]) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, text) in files {
        fs::write(folder.path().join(name), text).expect("it is written");
    }
    folder
}

fn required(files: &[(&str, &str)]) -> RequiredVersions {
    RequiredVersions::read(project(files).path(), None).expect("it can be read")
}

fn pins(files: &[(&str, &str)]) -> Vec<String> {
    required(files).pins.iter().map(Pin::to_string).collect()
}

fn error(required: &RequiredVersions, installed: (&str, &str), managers: &[Manager]) -> String {
    check(required, &versions(installed), managers).expect_err("it does not fit").to_string()
}

#[test]
fn pins_are_read_with_their_file_and_line() {
    let text =
        "# what we use\nnodejs 20.1.0\n\nelixir  1.18.4-otp-27 1.17.0 # first counts\nerlang\t27.2\nelixir 1.1.0\n";
    assert_eq!(
        pins(&[(".tool-versions", text)]),
        [".tool-versions, line 4, requires Elixir 1.18.4-otp-27", ".tool-versions, line 5, requires Erlang/OTP 27.2"]
    );
}

#[test]
fn the_tools_of_mise_are_read_in_every_form_that_mise_accepts() {
    let text = "min_version = '2024.1'\n[env]\nA = '1'\n[tools]\nnode = 'lts'\nelixir = ['1.18', '1.17']\nerlang = { version = '27.2', x = 1 }\n";
    assert_eq!(
        pins(&[("mise.toml", text), (".mise.toml", "tools.elixir = 'prefix:1.17'\n[tools.erlang]\nversion = 26")]),
        [
            "mise.toml, line 6, requires Elixir 1.18",
            "mise.toml, line 7, requires Erlang/OTP 27.2",
            ".mise.toml, line 1, requires Elixir 1.17",
            ".mise.toml, line 2, requires Erlang/OTP 26",
        ]
    );
    assert_eq!(pins(&[("mise.toml", "[settings]\nquiet = true\n")]), [""; 0]);
}

#[test]
fn a_project_without_such_files_has_no_pins() {
    assert_eq!(required(&[]).pins, []);
    assert_eq!(pins(&[(".tool-versions", "\n#\nelixir\nruby 3.3.0\n")]), [""; 0]);
}

#[test]
fn files_that_are_not_regular_or_too_large_are_errors_that_name_the_file() {
    for name in [".tool-versions", "mise.toml", ".mise.toml"] {
        let refuse = |make: &dyn Fn(&Path), part: &str| {
            let folder = project(&[]);
            make(&folder.path().join(name));
            let error = format!("{:#}", RequiredVersions::read(folder.path(), None).expect_err(part));
            assert!(error.contains(part) && error.contains(&format!("/{name}")), "{error}");
        };
        refuse(&|file| std::os::unix::fs::symlink("/etc/hostname", file).expect("a symlink"), "not a symlink");
        refuse(&|file| std::os::unix::fs::symlink("/no/where", file).expect("a symlink"), "not a symlink");
        refuse(&|file| mknodat(CWD, file, FileType::Fifo, Mode::RUSR, 0).expect("a FIFO"), "must be a regular file");
        refuse(&|file| fs::create_dir(file).expect("a folder"), "must be a regular file");
        refuse(&|file| fs::write(file, "#".repeat(64 * 1024 + 1)).expect("a file"), "must not be larger than 64 KB");
        refuse(&|file| fs::write(file, b"elixir \xff").expect("a file"), "UTF-8");
    }
    let folder = project(&[("mise.toml", "[tools\n")]);
    let error = format!("{:#}", RequiredVersions::read(folder.path(), None).expect_err("it is not TOML"));
    assert!(error.contains("mise.toml") && error.contains("line 1"), "{error}");
}

#[test]
fn a_pin_that_is_newer_is_an_error_and_a_newer_patch_release_or_an_older_pin_is_a_warning() {
    for (pin, installed, expected) in [
        ("elixir 1.18.3", TRIXIE, Fit::Fits),
        ("elixir 1.18", TRIXIE, Fit::Fits),
        ("elixir 1", TRIXIE, Fit::Fits),
        ("elixir 1.18.1-otp-27", TRIXIE, Fit::Fits),
        ("elixir 1.18.4-otp-27", TRIXIE, Fit::NewerPatch),
        ("elixir 1.17.3", TRIXIE, Fit::Older),
        ("elixir 1.18.4-otp-27", BOOKWORM, Fit::Newer),
        ("elixir 1.19.0-rc.0", TRIXIE, Fit::Newer),
        ("elixir 2", TRIXIE, Fit::Newer),
        ("erlang 27", TRIXIE, Fit::Fits),
        ("erlang 27.2", TRIXIE, Fit::Fits),
        ("erlang 27.3.4.2", TRIXIE, Fit::NewerPatch),
        ("erlang 27.4", TRIXIE, Fit::NewerPatch),
        ("erlang 26.2.1", TRIXIE, Fit::Older),
        ("erlang 28.0", TRIXIE, Fit::Newer),
        ("erlang 27.2", BOOKWORM, Fit::Newer),
        ("elixir ref:v1.19.0", BOOKWORM, Fit::Fits),
        ("elixir path:/opt/elixir", BOOKWORM, Fit::Fits),
        ("elixir system 1.19.0", BOOKWORM, Fit::Fits),
        ("elixir latest", BOOKWORM, Fit::Fits),
        ("elixir main-otp-27", BOOKWORM, Fit::Fits),
        ("erlang master", BOOKWORM, Fit::Fits),
    ] {
        let required = required(&[(".tool-versions", pin)]);
        let installed = versions(installed);
        assert_eq!(
            fit(&required.pins[0], version_of(&installed, required.pins[0].tool)),
            expected,
            "{pin} with {installed:?}"
        );
        let warnings = check(&required, &installed, &[]).map(|warnings| warnings.len());
        assert_eq!(warnings.ok(), [Some(0), None, Some(1), Some(1)][expected as usize], "{pin}");
    }
}

#[test]
fn only_the_major_version_of_erlang_is_compared_if_the_full_version_is_unknown() {
    let installed = Versions { elixir: "1.18.3".to_owned(), otp_release: "27".to_owned(), otp_version: None };
    let required = required(&[(".tool-versions", "erlang 27.9.9")]);
    assert_eq!(check(&required, &installed, &[]).expect("it may fit"), [""; 0]);
}

#[test]
fn a_warning_names_the_pin_and_the_installed_versions() {
    let required = required(&[(".tool-versions", "\nelixir 1.18.4")]);
    assert_eq!(
        check(&required, &versions(TRIXIE), &[]).expect("it may fit"),
        [
            ".tool-versions, line 2, requires Elixir 1.18.4, but mix runs on Elixir 1.18.3 and Erlang/OTP 27.3.4.1 (slightly \
          older)"
        ]
    );
}

#[test]
fn an_error_names_every_requirement_the_installed_versions_and_those_of_debian() {
    let mut required = required(&[(".tool-versions", "erlang 27.2\nelixir 1.18.4-otp-27\n")]);
    required.requirement = Some(Requirement { text: "~> 1.15".to_owned(), is_met: false });

    let error = error(&required, BOOKWORM, &[]);

    for part in [
        "mix.exs requires Elixir \"~> 1.15\"",
        ".tool-versions, line 1, requires Erlang/OTP 27.2",
        ".tool-versions, line 2, requires Elixir 1.18.4-otp-27",
        "mix runs on Elixir 1.14.0 and Erlang/OTP 25.2.3",
        "Debian 13 (trixie) has Elixir 1.18.3 on Erlang/OTP 27",
        "mise use -g erlang@27 elixir@1.18",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn a_requirement_that_is_met_is_not_mentioned() {
    let mut required = required(&[]);
    required.requirement = Some(Requirement { text: "~> 1.14".to_owned(), is_met: true });
    assert_eq!(check(&required, &versions(BOOKWORM), &[]).expect("it fits"), [""; 0]);
}

#[test]
fn the_error_says_how_to_install_with_the_available_version_manager() {
    let manager = |name| [Manager { name, folders: Vec::new() }];
    let pinned = required(&[(".tool-versions", "elixir 1.18.4")]);
    let folder = pinned.build_dir.display().to_string();
    let mut required = required(&[]);
    required.requirement = Some(Requirement { text: "~> 1.15".to_owned(), is_met: false });

    for (versions, name, part) in [
        (&pinned, ManagerName::Mise, format!("`mise install` in {folder}")),
        (&pinned, ManagerName::Asdf, format!("`asdf install` in {folder}")),
        (&required, ManagerName::Mise, "mise use -g".to_owned()),
        (&required, ManagerName::Asdf, "asdf set --home elixir".to_owned()),
    ] {
        let error = error(versions, BOOKWORM, &manager(name));
        assert!(error.contains(&part) && !error.contains("Debian"), "{part:?} is not in {error}");
    }
}

#[test]
fn the_full_version_of_erlang_is_read_from_its_folder() {
    let root = tempfile::tempdir().expect("a folder");
    assert_eq!(otp_version(root.path(), "27"), None);
    for (text, version) in [("27.3.4.1\n", Some("27.3.4.1")), ("25.2.3**\n", Some("25.2.3")), ("\n", None)] {
        fs::create_dir_all(root.path().join("releases/27")).expect("a folder");
        fs::write(root.path().join("releases/27/OTP_VERSION"), text).expect("a file");
        assert_eq!(otp_version(root.path(), "27").as_deref(), version);
    }
}

fn program(path: &Path, script: &str) {
    fs::create_dir_all(path.parent().expect("a folder")).expect("it is made");
    fs::write(path, script).expect("it is written");
    fs::set_permissions(path, fs::Permissions::from_mode(0o755)).expect("it is made a program");
}

fn found(home: &Path, variables: &[(&str, PathBuf)]) -> Vec<(String, Vec<PathBuf>)> {
    let variable = |name: &str| variables.iter().find(|(key, _)| *key == name).map(|(_, value)| OsString::from(value));
    managers_in(home, &variable).into_iter().map(|manager| (manager.name.to_string(), manager.folders)).collect()
}

#[test]
fn the_shims_of_mise_and_asdf_are_found_in_their_folders() {
    let home = tempfile::tempdir().expect("a folder");
    let home = home.path();
    assert_eq!(found(home, &[]), []);

    program(&home.join(".asdf/shims/elixir"), "#!/bin/sh\n");
    program(&home.join(".asdf/bin/asdf"), "#!/bin/sh\n");
    program(&home.join(".local/share/mise/shims/elixir"), "#!/bin/sh\n");
    let mise = ("mise".to_owned(), vec![home.join(".local/share/mise/shims")]);
    let asdf = ("asdf".to_owned(), vec![home.join(".asdf/shims"), home.join(".asdf/bin")]);
    assert_eq!(found(home, &[]), [mise, asdf]);

    program(&home.join("m/shims/elixir"), "#!/bin/sh\n");
    program(&home.join("a/shims/elixir"), "#!/bin/sh\n");
    program(&home.join("x/mise/shims/elixir"), "#!/bin/sh\n");
    let variables = [("MISE_DATA_DIR", home.join("m")), ("ASDF_DATA_DIR", home.join("a"))];
    assert_eq!(
        found(home, &variables),
        [("mise".to_owned(), vec![home.join("m/shims")]), ("asdf".to_owned(), vec![home.join("a/shims")])]
    );
    assert_eq!(found(home, &[("XDG_DATA_HOME", home.join("x"))])[0].1, [home.join("x/mise/shims")]);
}

#[test]
fn a_version_manager_without_an_elixir_is_found_but_has_no_folders() {
    let home = tempfile::tempdir().expect("a folder");
    program(&home.path().join(".local/share/mise/shims/node"), "#!/bin/sh\n");
    std::os::unix::fs::symlink("/no/where", home.path().join(".local/share/mise/shims/elixir")).expect("a symlink");
    assert_eq!(found(home.path(), &[]), [("mise".to_owned(), Vec::new())]);

    let home = tempfile::tempdir().expect("a folder");
    program(&home.path().join(".local/bin/mise"), "#!/bin/sh\n");
    assert_eq!(found(home.path(), &[]), [("mise".to_owned(), Vec::new())]);
}

#[test]
fn mise_trusts_the_build_dir_in_addition_to_its_other_folders() {
    let (name, value) = mise_trust(Path::new("/home/deploy/shop"));
    assert_eq!(name, "MISE_TRUSTED_CONFIG_PATHS");
    assert!(value.to_string_lossy().ends_with("/home/deploy/shop"), "{}", value.display());
}

/// The output of a version manager's shim, and its exit status.
const REFUSALS: [(&str, i32, &str); 4] = [
    (
        "mise",
        1,
        "mise ERROR Tool not installed for shim: elixir\nMissing tool version: elixir@1.18.4\nmise ERROR Run with --verbose",
    ),
    ("mise", 1, "mise WARN  something\nmise ERROR No version is set for shim: elixir"),
    ("asdf", 126, "No version is set for command elixir\nConsider adding one of the following versions\nelixir 1.17.3"),
    (
        "asdf",
        126,
        "No preset version installed for command elixir\nPlease install a version by running\n\nasdf install elixir 1.18.4",
    ),
];

#[test]
fn the_error_of_a_shim_without_a_version_gets_a_remedy() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, status, text) in REFUSALS {
        let shim = folder.path().join("shims/elixir");
        program(&shim, &format!("#!/bin/sh\ncat >&2 <<'END'\n{text}\nEND\nexit {status}\n"));
        let output = Command::new(&shim).output().expect("it runs");
        assert_eq!(output.status.code(), Some(status));
        let said = String::from_utf8(output.stderr).expect("text");
        let error =
            explain(anyhow::anyhow!("mix cannot load the project. Its output:\n{said}"), Path::new("/srv/shop"));
        let error = error.to_string();
        assert!(error.contains(text) && error.contains(&format!("`{name} install` in /srv/shop")), "{error}");
    }
}

#[test]
fn an_error_of_mix_itself_is_not_changed() {
    for said in ["** (Mix) No version is set", "unknown command: elixr", "mise en place"] {
        assert_eq!(explain(anyhow::anyhow!("{said}"), Path::new("/")).to_string(), said);
    }
}
