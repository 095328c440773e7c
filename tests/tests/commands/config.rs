//! `gatling config`: what the app gets in its environment.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::PathBuf;
use std::process::Stdio;

use gatling_tests::server::Run;
use gatling_tests::{Output, Sandbox};

use crate::{json, run, said};

fn dotenv(sandbox: &Sandbox) -> PathBuf {
    sandbox.home().join("deployments/hello/.env")
}

/// What is hard to get through a file that a shell reads.
const HARD: [&str; 12] = [
    "ecto://user:p%40ss@localhost/db?ssl=true&pool=10",
    "a=b=c=",
    "  two  spaces ",
    "it's \"quoted\"",
    "# no comment",
    "line one\nline two\n",
    "$HOME ${HOME} $(id) `id`",
    "back\\slash \\n \\",
    "grüße ✓ 日本",
    "tab\there; exit 1 && * ? ~ !",
    "-----BEGIN KEY-----\nabc+/=\n-----END KEY-----\n",
    "",
];

/// Arguments for `gatling config set hello`, with each of the hard values.
fn set_hard_values() -> Vec<String> {
    let pairs = HARD.iter().enumerate().map(|(number, value)| format!("HARD_{number}={value}"));
    ["config", "set", "hello"].map(str::to_owned).into_iter().chain(pairs).collect()
}

#[test]
fn what_was_set_comes_back_unchanged() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);

    let args = set_hard_values();
    run(&sandbox, &args.iter().map(String::as_str).collect::<Vec<_>>(), 0, &["HARD_0, HARD_1"]);

    let listed = json(&sandbox, &["config", "list", "hello", "--json"], 0)["variables"].take();
    for (number, value) in HARD.iter().enumerate() {
        let name = format!("HARD_{number}");
        assert_eq!(sandbox.run(&["config", "get", "hello", &name]).unwrap().stdout, format!("{value}\n"));
        assert_eq!(listed[&name], **value);
    }
    assert_eq!(listed.as_object().unwrap().len(), HARD.len());
    assert_eq!(
        sandbox.run(&["config", "list", "hello"]).unwrap().stdout,
        fs::read_to_string(dotenv(&sandbox)).unwrap()
    );
}

#[test]
fn what_was_set_reaches_the_app_unchanged() {
    let sandbox = Sandbox::new().unwrap();
    let hello = sandbox.load("hello").unwrap();
    let route = "  defp route(\"/env/\" <> name), do: {200, System.get_env(name)}\n";
    hello.replace("lib/hello/router.ex", "  defp route(_path)", &format!("{route}  defp route(_path)")).unwrap();
    hello.commit("Shows its environment").unwrap();
    let args = set_hard_values();
    run(&sandbox, &args.iter().map(String::as_str).collect::<Vec<_>>(), 0, &[]);

    // Elixir reads its environment by the locale of whoever starts it.
    let mut push = hello.push_command(&["main"]);
    Output::of(push.env("LC_ALL", "C.UTF-8").env("LANG", "C.UTF-8")).unwrap();

    sandbox.wait_for_answer(200, "hello 0.1.0\n").unwrap();
    for (number, value) in HARD.iter().enumerate() {
        let (status, body) = sandbox.get(&format!("/env/HARD_{number}")).unwrap();
        assert_eq!((status, body.as_str()), (200, *value));
    }
}

#[test]
fn only_the_owner_can_read_the_variables() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);
    fs::write(dotenv(&sandbox), "OLD=1\n").unwrap();
    fs::set_permissions(dotenv(&sandbox), fs::Permissions::from_mode(0o644)).unwrap();

    for args in [&["config", "set", "hello", "SECRET=x"], &["config", "unset", "hello", "OLD"]] {
        run(&sandbox, args, 0, &[]);
        assert_eq!(fs::metadata(dotenv(&sandbox)).unwrap().mode() & 0o777, 0o600);
    }

    assert_eq!(fs::read_to_string(dotenv(&sandbox)).unwrap(), "SECRET='x'\n");
}

#[test]
fn getting_an_unset_variable_fails_and_lists_the_set_ones() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);
    run(&sandbox, &["config", "set", "hello", "SECRET=x", "POOL=y"], 0, &[]);

    run(&sandbox, &["config", "get", "hello", "SECRETS"], 1, &["SECRETS is not set for hello", "SECRET, POOL"]);
    run(&sandbox, &["config", "unset", "hello", "SECRETS"], 1, &["SECRETS"]);

    assert_eq!(sandbox.run(&["config", "get", "hello", "SECRETS"]).unwrap().stdout, "");
}

#[test]
fn an_argument_that_is_not_a_pair_sets_nothing() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);
    run(&sandbox, &["config", "set", "hello", "A=1"], 0, &[]);

    for pair in ["B", "=2", "1B=2", "B-C=2", "B C=2", "\u{e4}=2"] {
        run(&sandbox, &["config", "set", "hello", "A=2", pair], 2, &[pair.split('=').next().unwrap()]);
    }

    assert_eq!(fs::read_to_string(dotenv(&sandbox)).unwrap(), "A='1'\n");
}

#[test]
fn settings_that_are_made_at_the_same_time_are_all_kept() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);

    let set = |number| {
        let mut command = sandbox.gatling(&["config", "set", "hello", &format!("V{number}={number}")]);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let running: Vec<_> = (0..24).map(set).collect();
    for mut child in running {
        assert!(child.wait().unwrap().success());
    }

    let listed = json(&sandbox, &["config", "list", "hello", "--json"], 0)["variables"].take();
    for number in 0..24 {
        assert_eq!(listed[format!("V{number}")], number.to_string(), "{listed}");
    }
}

/// `gatling config set hello` with these arguments and this standard input.
fn set_reading(sandbox: &Sandbox, args: &[&str], input: &[u8]) -> Run {
    let mut command = sandbox.gatling(&[&["config", "set", "hello"], args].concat());
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    // It need not read all of it.
    _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("it ends");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    Run::from(Output { status: output.status, stdout: text(output.stdout), stderr: text(output.stderr) })
}

#[test]
fn a_dash_reads_the_value_from_standard_input() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);

    for value in HARD.into_iter().filter(|value| !value.is_empty()) {
        let args = ["A=1", "SECRET=-"];
        let text = said(set_reading(&sandbox, &args, format!("{value}\n").as_bytes()), &args, 0, &["A, SECRET"]);
        assert!(!text.contains(value), "{text}");
        assert_eq!(sandbox.run(&["config", "get", "hello", "SECRET"]).unwrap().stdout, format!("{value}\n"));
    }
}

#[test]
fn a_value_that_cannot_be_read_changes_nothing() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);
    run(&sandbox, &["config", "set", "hello", "A=1"], 0, &[]);

    let long = vec![b'x'; 1024 * 1024 + 1];
    for (args, input, code, word) in [
        (&["A=-", "B=-"][..], &b"x"[..], 2, "only one value"),
        (&["B=2", "A=-"], b"", 1, "has no value for A"),
        (&["B=2", "A=-"], b"\n", 1, "gatling config set hello A="),
        (&["B=2", "A=-"], b"\xff", 1, "UTF-8"),
        (&["B=2", "A=-"], b"x\0y", 1, "NUL"),
        (&["B=2", "A=-"], &long, 1, "longer than 1 MB"),
    ] {
        said(set_reading(&sandbox, args, input), args, code, &[word]);
    }

    assert_eq!(fs::read_to_string(dotenv(&sandbox)).unwrap(), "A='1'\n");
}

#[test]
fn on_a_terminal_the_value_is_asked_for_and_not_echoed() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &[]);

    // It is typed once the question is there, by when the terminal shows nothing any more.
    let typing = "while ! grep -q 'Value of SECRET: ' seen; do sleep 0.05; done; echo s3cret; sleep 1";
    let script = "script -qec 'gatling config set hello SECRET=-; stty -a' /dev/null";
    let shell = format!(": >seen; {{ {typing}; }} | {script} >seen");
    Output::of(sandbox.command("sh", sandbox.root()).args(["-c", &shell])).unwrap().expect_success().unwrap();

    let seen = fs::read_to_string(sandbox.root().join("seen")).unwrap();
    assert!(seen.contains("set for hello: SECRET") && !seen.contains("s3cret"), "{seen}");
    assert!(seen.contains(" echo ") && seen.contains("susp = ^Z"), "the terminal is as before: {seen}");
    assert_eq!(sandbox.run(&["config", "get", "hello", "SECRET"]).unwrap().stdout, "s3cret\n");
}
