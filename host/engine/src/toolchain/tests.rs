//! Files as projects have them, and folders as version managers make them.

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

fn asked(files: &[(&str, &str)]) -> Asked {
    Asked::read(project(files).path(), None).expect("it can be read")
}

fn pins(files: &[(&str, &str)]) -> Vec<String> {
    asked(files).pins.iter().map(Pin::to_string).collect()
}

fn error(asked: &Asked, there: (&str, &str), managers: &[Manager]) -> String {
    check(asked, &versions(there), managers).expect_err("it does not fit").to_string()
}

#[test]
fn pins_are_read_with_their_file_and_line() {
    let text =
        "# what we use\nnodejs 20.1.0\n\nelixir  1.18.4-otp-27 1.17.0 # first counts\nerlang\t27.2\nelixir 1.1.0\n";
    assert_eq!(
        pins(&[(".tool-versions", text)]),
        [".tool-versions, line 4, asks for Elixir 1.18.4-otp-27", ".tool-versions, line 5, asks for Erlang/OTP 27.2"]
    );
}

#[test]
fn the_tools_of_mise_are_read_in_every_form_that_mise_takes() {
    let text = "min_version = '2024.1'\n[env]\nA = '1'\n[tools]\nnode = 'lts'\nelixir = ['1.18', '1.17']\nerlang = { version = '27.2', x = 1 }\n";
    assert_eq!(
        pins(&[("mise.toml", text), (".mise.toml", "tools.elixir = 'prefix:1.17'\n[tools.erlang]\nversion = 26")]),
        [
            "mise.toml, line 6, asks for Elixir 1.18",
            "mise.toml, line 7, asks for Erlang/OTP 27.2",
            ".mise.toml, line 1, asks for Elixir 1.17",
            ".mise.toml, line 2, asks for Erlang/OTP 26",
        ]
    );
    assert_eq!(pins(&[("mise.toml", "[settings]\nquiet = true\n")]), [""; 0]);
}

#[test]
fn a_project_without_such_files_asks_for_nothing() {
    assert_eq!(asked(&[]).pins, []);
    assert_eq!(pins(&[(".tool-versions", "\n#\nelixir\nruby 3.3.0\n")]), [""; 0]);
}

#[test]
fn only_short_regular_files_are_read_and_others_are_named() {
    for name in [".tool-versions", "mise.toml", ".mise.toml"] {
        let refuse = |make: &dyn Fn(&Path), part: &str| {
            let folder = project(&[]);
            make(&folder.path().join(name));
            let error = format!("{:#}", Asked::read(folder.path(), None).expect_err(part));
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
    let error = format!("{:#}", Asked::read(folder.path(), None).expect_err("it is not TOML"));
    assert!(error.contains("mise.toml") && error.contains("line 1"), "{error}");
}

#[test]
fn what_is_newer_than_what_is_there_is_an_error_and_a_newer_patch_or_an_older_pin_a_warning() {
    for (pin, there, expected) in [
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
        let asked = asked(&[(".tool-versions", pin)]);
        let there = versions(there);
        assert_eq!(
            fit(&asked.pins[0], version_of(&there, asked.pins[0].tool)),
            expected,
            "{pin} where there is {there:?}"
        );
        let warnings = check(&asked, &there, &[]).map(|warnings| warnings.len());
        assert_eq!(warnings.ok(), [Some(0), None, Some(1), Some(1)][expected as usize], "{pin}");
    }
}

#[test]
fn only_the_major_version_of_erlang_is_compared_where_no_more_is_known() {
    let there = Versions { elixir: "1.18.3".to_owned(), otp_release: "27".to_owned(), otp_version: None };
    let asked = asked(&[(".tool-versions", "erlang 27.9.9")]);
    assert_eq!(check(&asked, &there, &[]).expect("it may fit"), [""; 0]);
}

#[test]
fn a_warning_says_who_asks_and_what_is_there() {
    let asked = asked(&[(".tool-versions", "\nelixir 1.18.4")]);
    assert_eq!(
        check(&asked, &versions(TRIXIE), &[]).expect("it may fit"),
        [
            ".tool-versions, line 2, asks for Elixir 1.18.4, but mix runs on Elixir 1.18.3 and Erlang/OTP 27.3.4.1 (slightly \
          older)"
        ]
    );
}

#[test]
fn an_error_names_all_that_asks_what_is_there_and_what_debian_has() {
    let mut asked = asked(&[(".tool-versions", "erlang 27.2\nelixir 1.18.4-otp-27\n")]);
    asked.requirement = Some(Requirement { text: "~> 1.15".to_owned(), holds: false });

    let error = error(&asked, BOOKWORM, &[]);

    for part in [
        "mix.exs asks for Elixir \"~> 1.15\"",
        ".tool-versions, line 1, asks for Erlang/OTP 27.2",
        ".tool-versions, line 2, asks for Elixir 1.18.4-otp-27",
        "mix runs on Elixir 1.14.0 and Erlang/OTP 25.2.3",
        "Debian 13 (trixie) has Elixir 1.18.3 on Erlang/OTP 27",
        "mise use -g erlang@27 elixir@1.18",
    ] {
        assert!(error.contains(part), "{part:?} is not in {error}");
    }
}

#[test]
fn a_requirement_that_holds_is_not_mentioned() {
    let mut asked = asked(&[]);
    asked.requirement = Some(Requirement { text: "~> 1.14".to_owned(), holds: true });
    assert_eq!(check(&asked, &versions(BOOKWORM), &[]).expect("it fits"), [""; 0]);
}

#[test]
fn where_a_version_manager_is_installed_the_error_says_how_to_install_with_it() {
    let manager = |name| [Manager { name, folders: Vec::new() }];
    let pinned = asked(&[(".tool-versions", "elixir 1.18.4")]);
    let folder = pinned.build_dir.display().to_string();
    let mut required = asked(&[]);
    required.requirement = Some(Requirement { text: "~> 1.15".to_owned(), holds: false });

    for (asked, name, part) in [
        (&pinned, ManagerName::Mise, format!("`mise install` in {folder}")),
        (&pinned, ManagerName::Asdf, format!("`asdf install` in {folder}")),
        (&required, ManagerName::Mise, "mise use -g".to_owned()),
        (&required, ManagerName::Asdf, "asdf set --home elixir".to_owned()),
    ] {
        let error = error(asked, BOOKWORM, &manager(name));
        assert!(error.contains(&part) && !error.contains("Debian"), "{part:?} is not in {error}");
    }
}

#[test]
fn the_full_version_of_erlang_is_read_where_its_folder_says_it() {
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
fn the_programs_of_mise_and_asdf_are_found_where_each_keeps_them() {
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
fn a_version_manager_without_an_elixir_has_no_folders_but_is_known() {
    let home = tempfile::tempdir().expect("a folder");
    program(&home.path().join(".local/share/mise/shims/node"), "#!/bin/sh\n");
    std::os::unix::fs::symlink("/no/where", home.path().join(".local/share/mise/shims/elixir")).expect("a symlink");
    assert_eq!(found(home.path(), &[]), [("mise".to_owned(), Vec::new())]);

    let home = tempfile::tempdir().expect("a folder");
    program(&home.path().join(".local/bin/mise"), "#!/bin/sh\n");
    assert_eq!(found(home.path(), &[]), [("mise".to_owned(), Vec::new())]);
}

#[test]
fn mise_trusts_the_build_dir_beside_what_it_trusts_already() {
    let (name, value) = mise_trust(Path::new("/home/deploy/shop"));
    assert_eq!(name, "MISE_TRUSTED_CONFIG_PATHS");
    assert!(value.to_string_lossy().ends_with("/home/deploy/shop"), "{}", value.display());
}

/// What the shim of a version manager says, and its exit status.
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
fn what_to_do_is_added_to_the_error_of_a_shim_that_has_no_version_to_run() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, status, text) in REFUSALS {
        let shim = folder.path().join("shims/elixir");
        program(&shim, &format!("#!/bin/sh\ncat >&2 <<'END'\n{text}\nEND\nexit {status}\n"));
        let output = Command::new(&shim).output().expect("it runs");
        assert_eq!(output.status.code(), Some(status));
        let said = String::from_utf8(output.stderr).expect("text");
        let error = explain(anyhow::anyhow!("mix cannot load the project: it says:\n{said}"), Path::new("/srv/shop"));
        let error = error.to_string();
        assert!(error.contains(text) && error.contains(&format!("`{name} install` in /srv/shop")), "{error}");
    }
}

#[test]
fn an_error_of_mix_itself_stays_as_it_is() {
    for said in ["** (Mix) No version is set", "unknown command: elixr", "mise en place"] {
        assert_eq!(explain(anyhow::anyhow!("{said}"), Path::new("/")).to_string(), said);
    }
}
