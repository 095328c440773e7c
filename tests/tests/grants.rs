//! What grants allow and refuse, tested with a hook that `gatling hooks run` calls.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::thread;

use gatling_tests::{Output, Sandbox, places};
use serde_json::{Value, json};

/// A project's folder with the hook, its settings and its files, without a server.
struct Trial {
    sandbox: Sandbox,
}

impl Trial {
    fn new(grants: &str) -> Self {
        let trial = Self { sandbox: Sandbox::new().unwrap() };
        for folder in [trial.build_dir().join("priv/static"), trial.deploy_dir().join("log")] {
            fs::create_dir_all(folder).unwrap();
        }
        for (file, text) in [("mix.exs", "the project"), ("priv/static/app.css", "body {}"), ("priv/note", "a note")] {
            fs::write(trial.build_dir().join(file), text).unwrap();
        }
        fs::write(trial.deploy_dir().join("log/hello.log"), "up").unwrap();
        fs::write(trial.deploy_dir().join(".env"), "SLACK_TOKEN='xoxb-1'\nSECRET='s'\n").unwrap();
        fs::write(trial.build_dir().join("gatling.toml"), format!("[hooks.grants]\n{grants}\n")).unwrap();
        fs::copy(places::guest("asker").unwrap(), trial.build_dir().join("upgrade.wasm")).unwrap();
        trial
    }

    fn build_dir(&self) -> PathBuf {
        self.sandbox.home().join("hello")
    }

    fn deploy_dir(&self) -> PathBuf {
        self.sandbox.home().join("deployments/hello")
    }

    fn run(&self, requests: &[&str], flags: &[&str]) -> Output {
        let env = self.sandbox.root().join("env.json");
        fs::write(&env, json!({ "domains": requests }).to_string()).unwrap();
        let file = self.build_dir().join("upgrade.wasm");
        let (file, env) = (file.to_string_lossy(), env.to_string_lossy());
        let mut args = vec!["hooks", "run", &file, "before_mix_compile", "--env", &env];
        args.extend(flags);
        self.sandbox.run(&args).unwrap().expect_success().unwrap()
    }

    /// The answer to a request of the hook.
    fn ask(&self, request: &str) -> String {
        let output = self.run(&[request], &[]);
        let prefix = format!("    {request} -> ");
        let answer = output.lines().iter().find_map(|line| Some(line.strip_prefix(&prefix)?.to_owned()));
        answer.unwrap_or_else(|| panic!("{request}: {output:?}"))
    }

    /// Asserts that a request is refused, and that the error names this line to add.
    #[track_caller]
    fn assert_denied(&self, request: &str, line: &str) {
        let output = self.run(&[request], &[]);
        let lines = output.lines();
        assert!(
            lines.iter().any(|said| said.starts_with(&format!("    {request} -> error: "))),
            "{request}: {output:?}"
        );
        let denied = lines.iter().find(|said| said.trim_start().starts_with("denied: "));
        assert!(denied.is_some_and(|said| said.contains(line)), "{request}: {line} is not in {output:?}");
    }
}

#[test]
fn without_a_grant_a_hook_reads_no_file_and_the_error_names_the_line_to_add() {
    let trial = Trial::new("");
    for (request, line) in [
        ("read mix.exs", r#"read = ["mix.exs"]"#),
        ("list priv", r#"read = ["priv"]"#),
        ("write priv/new", r#"write = ["priv/new"]"#),
        ("remove mix.exs", r#"write = ["mix.exs"]"#),
        ("make tmp", r#"write = ["tmp"]"#),
        ("read deploy:log/hello.log", r#"read = ["$deploy_dir/log/hello.log"]"#),
    ] {
        trial.assert_denied(request, line);
    }
    assert_eq!(fs::read_to_string(trial.build_dir().join("mix.exs")).unwrap(), "the project");
    assert!(!trial.build_dir().join("tmp").exists() && !trial.build_dir().join("priv/new").exists());
}

#[test]
fn a_file_granted_for_reading_can_be_read_but_not_written() {
    let trial = Trial::new(r#"read = ["priv", "mix.exs", "$deploy_dir/log"]"#);
    assert_eq!(trial.ask("read priv/static/app.css"), "body {}");
    assert_eq!(trial.ask("read mix.exs"), "the project");
    assert_eq!(trial.ask("read deploy:log/hello.log"), "up");
    assert_eq!(trial.ask("list priv"), "note,static");
    assert_eq!(trial.ask("exists priv/static"), "true");
    trial.assert_denied("write priv/note", r#"write = ["priv/note"]"#);
    trial.assert_denied("append mix.exs", r#"write = ["mix.exs"]"#);
    trial.assert_denied("read gatling.toml", r#"read = ["priv", "mix.exs", "$deploy_dir/log", "gatling.toml"]"#);
    // Its parent folder can be traversed, but not listed.
    trial.assert_denied("list deploy:.", r#""$deploy_dir"]"#);
    assert!(trial.run(&["read priv/note"], &[]).says("debug: reads "), "each use is in the log");
}

#[test]
fn only_files_granted_for_writing_can_be_written() {
    let trial = Trial::new(r#"write = ["priv/static", "tmp", "VERSION.txt"]"#);
    let read = |path: &str| fs::read_to_string(trial.build_dir().join(path)).unwrap();
    assert_eq!(trial.ask("write priv/static/new.css"), "written");
    assert_eq!(trial.ask("append priv/static/app.css"), "appended");
    assert_eq!((read("priv/static/new.css"), read("priv/static/app.css")), ("written".into(), "body {}more".into()));
    assert_eq!(trial.ask("make tmp/a/b"), "made");
    assert!(trial.build_dir().join("tmp/a/b").is_dir(), "a granted folder that does not exist can be made");
    assert_eq!(trial.ask("rename priv/static/new.css tmp/a/moved.css"), "renamed");
    assert_eq!(read("tmp/a/moved.css"), "written");
    assert_eq!(trial.ask("link tmp/a/moved.css tmp/linked.css"), "linked");
    assert_eq!(trial.ask("remove tmp/linked.css"), "removed");
    assert_eq!(trial.ask("remove-folder tmp/a/b"), "removed");
    assert_eq!(trial.ask("write VERSION.txt"), "written");
    assert_eq!(read("VERSION.txt"), "written");
    trial.assert_denied("rename tmp/a/moved.css priv/moved.css", r#""priv/moved.css"]"#);
    trial.assert_denied("link mix.exs tmp/mix.exs", r#""mix.exs"]"#);
    trial.assert_denied("write priv/note", r#""priv/note"]"#);
    assert_eq!((read("mix.exs"), read("priv/note")), ("the project".into(), "a note".into()));
}

#[test]
fn no_path_leads_out_of_a_granted_folder() {
    let trial = Trial::new("read = ['priv', 'out', 'out.txt', 'beside']\nwrite = ['priv', 'beside']");
    let outside = trial.sandbox.root().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("secret"), "secret").unwrap();
    symlink(&outside, trial.build_dir().join("out")).unwrap();
    symlink(outside.join("secret"), trial.build_dir().join("out.txt")).unwrap();
    symlink("../mix.exs", trial.build_dir().join("priv/up.txt")).unwrap();
    symlink("../../../outside", trial.build_dir().join("priv/far")).unwrap();
    symlink("../.git", trial.build_dir().join("priv/git")).unwrap();
    fs::create_dir(trial.build_dir().join(".git")).unwrap();

    let secret = outside.join("secret").display().to_string();
    for request in [
        "read out/secret",
        "read out.txt",
        "list out",
        "read priv/up.txt",
        "read priv/far/secret",
        "write priv/far/new",
        "write priv/git/hook",
        "write priv/up.txt",
        "raw ../mix.exs",
        "raw priv/../../deployments/hello/.env",
        "raw /etc/passwd",
        "read /etc/passwd",
        &format!("read {secret}"),
        "read priv/../mix.exs",
        "symlink ../mix.exs priv/mine",
        "symlink /etc/passwd priv/mine",
    ] {
        let answer = trial.ask(request);
        assert!(answer.starts_with("error: "), "{request}: {answer}");
    }
    assert_eq!(fs::read_to_string(trial.build_dir().join("mix.exs")).unwrap(), "the project");
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_dir(trial.build_dir().join(".git")).unwrap().count(), 0);
    assert!(trial.build_dir().join("priv/mine").symlink_metadata().is_err());
    // Inside a granted folder, `..` is allowed.
    assert_eq!(trial.ask("raw priv/static/../note"), "opened");
}

#[test]
fn a_grant_of_the_projects_folder_does_not_include_its_secrets() {
    let trial = Trial::new("read = ['.', '$deploy_dir']\nwrite = ['.', '$deploy_dir']");
    fs::create_dir_all(trial.build_dir().join(".git/hooks")).unwrap();
    trial.assert_denied("read deploy:.env", "`env`");
    trial.assert_denied("write .git/hooks/post-update", "git could run files from there, outside of the sandbox");
    assert_eq!(trial.ask("write lib.ex"), "written");
}

#[test]
fn the_parents_of_a_granted_path_are_not_granted() {
    // A grant of a path below a file grants nothing.
    let trial = Trial::new("read = ['priv/note/x', 'priv/static/app.css']\nwrite = ['mix.exs/x']");
    for request in ["read priv/note", "read mix.exs", "list priv", "exists priv/note", "raw priv/note"] {
        assert!(trial.ask(request).starts_with("error: "), "{request}");
    }
    assert_eq!(trial.ask("exists priv"), "true", "the parent folder is visible");
    assert_eq!(trial.ask("read priv/static/app.css"), "body {}");

    let trial = Trial::new("read = ['mix.exs/x', 'lib/x']");
    let caps = fs::read_to_string(trial.sandbox.config()).unwrap() + "[hooks.grants]\nread = ['priv']\n";
    fs::write(trial.sandbox.config(), caps).unwrap();
    fs::create_dir(trial.build_dir().join("lib")).unwrap();
    for request in ["read mix.exs", "exists lib"] {
        assert!(trial.ask(request).starts_with("error: "), "{request}: the operator's file does not allow it");
    }
}

#[test]
fn the_dotenv_cannot_be_read_under_another_name() {
    let trial = Trial::new("read = ['$deploy_dir', 'priv']\nwrite = ['priv', '$deploy_dir']");
    let deploy_dir = trial.deploy_dir();
    symlink(".env", deploy_dir.join("link")).unwrap();
    symlink("..", deploy_dir.join("log/up")).unwrap();
    fs::hard_link(deploy_dir.join(".env"), deploy_dir.join("hard")).unwrap();
    symlink(".env", trial.build_dir().join("priv/x")).unwrap();

    for request in
        ["read deploy:link", "read deploy:log/up/.env", "read deploy:hard", "append deploy:hard", "write deploy:hard"]
    {
        let answer = trial.ask(request);
        assert!(answer.starts_with("error: "), "{request}: {answer}");
    }
    // A symlink from the push stays, but has no target.
    assert!(trial.ask("rename priv/x deploy:moved").starts_with("error: "));
    assert!(trial.ask("link priv/x deploy:moved").starts_with("error: "));
    assert!(deploy_dir.join("moved").symlink_metadata().is_err());
    assert_eq!(fs::read_to_string(deploy_dir.join(".env")).unwrap(), "SLACK_TOKEN='xoxb-1'\nSECRET='s'\n");
}

#[test]
fn a_symlink_does_not_grant_its_target() {
    let trial = Trial::new("read = ['pub', 'priv']\nwrite = ['hooks']");
    symlink(".", trial.build_dir().join("pub")).unwrap();
    fs::create_dir_all(trial.build_dir().join(".git/hooks")).unwrap();
    symlink(".git/hooks", trial.build_dir().join("hooks")).unwrap();
    for request in ["read pub/mix.exs", "list pub", "write hooks/post-update", "make hooks/x"] {
        assert!(trial.ask(request).starts_with("error: "), "{request}");
    }
    assert_eq!(fs::read_dir(trial.build_dir().join(".git/hooks")).unwrap().count(), 0);
}

#[test]
fn a_dry_run_follows_no_symlink_and_copies_nothing() {
    let trial = Trial::new("write = ['priv']");
    symlink("/etc/passwd", trial.build_dir().join("priv/passwd")).unwrap();
    symlink("/etc", trial.build_dir().join("priv/etc")).unwrap();
    fs::File::create(trial.build_dir().join("priv/large")).unwrap().set_len(6 << 30).unwrap();
    let requests = ["append priv/passwd", "read priv/passwd", "append priv/etc/passwd", "read priv/etc/passwd"];
    let begun = std::time::Instant::now();
    let output = trial.run(&requests, &["--dry-run"]);
    assert!(trial.run(&["append priv/large"], &["--dry-run"]).says("append priv/large -> appended"));
    for request in requests {
        assert!(output.says(&format!("{request} -> error: ")), "{request}: {output:?}");
    }
    assert!(!output.says("root:"), "{output:?}");
    assert!(begun.elapsed().as_secs() < 5, "{:?}", begun.elapsed());
}

#[test]
fn a_folder_with_too_many_files_is_not_listed() {
    let trial = Trial::new("read = ['priv']");
    for number in 0..=100_000 {
        fs::File::create(trial.build_dir().join(format!("priv/static/{number}"))).unwrap();
    }
    assert!(trial.ask("list priv").contains("static"));
    let output = trial.run_to_failure("list priv/static");
    assert!(output.says("it listed a folder with more than 100000 files"), "{output:?}");
}

#[test]
fn missing_parent_folders_of_a_path_granted_for_writing_are_made() {
    let trial = Trial::new("write = ['deep/er/still', 'some/file.txt']");
    for request in ["remove some/file.txt", "remove-folder deep/er/still", "rename some/file.txt deep/er/still/file"] {
        assert!(trial.ask(request).starts_with("error: "), "{request}");
    }
    assert!(!trial.build_dir().join("some").exists(), "no folder should be made");
    assert_eq!(trial.ask("make deep/er/still/x"), "made");
    assert_eq!(trial.ask("write some/file.txt"), "written");
    assert!(trial.build_dir().join("deep/er/still/x").is_dir());
    assert!(trial.ask("write deep/er/other").starts_with("error: "));
}

#[test]
fn a_hook_that_holds_too_many_files_is_ended() {
    let trial = Trial::new("read = ['mix.exs']");
    assert_eq!(trial.ask("hold mix.exs 100"), "held 100");
    let output = trial.run_to_failure("hold mix.exs 1000");
    assert!(output.says("more than 256 open files, folders, streams and requests at once"), "{output:?}");
}

impl Trial {
    fn run_to_failure(&self, request: &str) -> Output {
        let env = self.sandbox.root().join("env.json");
        fs::write(&env, json!({ "domains": [request] }).to_string()).unwrap();
        let file = self.build_dir().join("upgrade.wasm");
        let args = ["hooks", "run", &file.to_string_lossy(), "before_mix_compile", "--env", &env.to_string_lossy()];
        let output = self.sandbox.run(&args).unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        output
    }
}

#[test]
fn only_granted_variables_can_be_read() {
    let trial = Trial::new("env = ['SLACK_TOKEN', 'UNSET']");
    // The hook logs the value itself: it is redacted in the output.
    assert_eq!(trial.ask("variable SLACK_TOKEN"), "[SLACK_TOKEN]");
    assert_eq!(trial.ask("getenv SLACK_TOKEN"), "[SLACK_TOKEN]");
    assert_eq!(trial.ask("environment"), "SLACK_TOKEN", "nothing of Gatling's own environment");
    assert!(trial.run(&["getenv SLACK_TOKEN"], &[]).says("debug: gets the environment variables SLACK_TOKEN"));
    assert!(trial.run(&["variable SLACK_TOKEN"], &[]).says("debug: gets the variable SLACK_TOKEN"));
    assert!(trial.ask("variable UNSET").contains("gatling config set hello UNSET=..."));
    trial.assert_denied("variable SECRET", r#"env = ["SLACK_TOKEN", "UNSET", "SECRET"]"#);
    assert!(trial.ask("getenv SECRET").starts_with("error: "));
}

/// A server that answers every request with the body of the last one.
fn echo() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = Vec::new();
            let mut buffer = [0; 1024];
            while !request.windows(5).any(|bytes| bytes == b"it is") {
                match stream.read(&mut buffer).unwrap() {
                    0 => break,
                    read => request.extend(&buffer[..read]),
                }
            }
            let text = String::from_utf8_lossy(&request);
            let body = format!(
                "{} with {}",
                text.lines().next().unwrap(),
                if text.contains("it is up") { "a text" } else { "nothing" }
            );
            write!(stream, "HTTP/1.1 201 Created\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
                .unwrap();
        }
    });
    port
}

#[test]
fn a_hooks_output_cannot_send_control_sequences_to_the_terminal() {
    let trial = Trial::new("");
    let output = trial.run(&["\u{1b}[2J\u{1b}[31mred\u{1b}[0m\rgatling: all is well"], &[]);
    assert!(output.lines().contains(&"    \\u{1b}[2Jred\\u{d}gatling: all is well -> no such wish"), "{output:?}");
    assert!(!output.stdout.contains(['\u{1b}', '\r']), "{output:?}");
}

#[test]
fn requests_are_only_sent_to_granted_servers() {
    let port = echo();
    let trial = Trial::new(&format!("http = ['127.0.0.1:{port}']"));
    let output = trial.run(&[&format!("post http://127.0.0.1:{port}/services/T0/secret")], &[]);
    assert!(output.says("-> 201 POST /services/T0/secret HTTP/1.1 with a text"), "{output:?}");
    let logged = format!("    POST http://127.0.0.1:{port}: 201 Created");
    assert!(output.lines().contains(&logged.as_str()), "the path, which may be a secret, is not logged: {output:?}");

    trial.assert_denied("post https://hooks.slack.com/x", r#""hooks.slack.com"]"#);
    trial.assert_denied("post http://127.0.0.1:1/", r#""127.0.0.1:1"]"#);
    let output = trial.run(&["post http://user:password@hooks.slack.com/x"], &[]);
    assert!(
        output.says("POST http://hooks.slack.com") && !output.stdout.contains("    POST http://user"),
        "{output:?}"
    );
    // Another name for the same address counts as another server.
    trial.assert_denied(&format!("post http://localhost:{port}/"), &format!(r#""localhost:{port}"]"#));
    let output = trial.run(&["post https://hooks.slack.com/x"], &[]);
    let message = r#"InternalError(Some("hooks may not send requests to \"hooks.slack.com\""#;
    assert!(output.says(&message[..60]), "the hook gets the error: {output:?}");
}

#[test]
fn a_request_that_is_never_answered_ends_with_the_hook() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let trial = Trial::new(&format!("http = ['127.0.0.1:{port}']\n[hooks]\ntimeout = '1s'"));
    let begun = std::time::Instant::now();
    let output = trial.run_to_failure(&format!("post http://127.0.0.1:{port}/"));
    assert!(output.says("time limit (1.0 s) exceeded"), "{output:?}");
    assert!(output.says(&format!("debug: sends POST http://127.0.0.1:{port}")), "the request is logged: {output:?}");
    assert!(begun.elapsed().as_secs() < 20, "{:?}", begun.elapsed());
}

#[test]
fn the_arguments_of_programs_are_granted_too() {
    let trial = Trial::new("run = [{ program = 'echo', args = ['a*'] }]");
    assert_eq!(trial.ask("run echo abc"), "abc");
    trial.assert_denied("run echo bcd", r#"{ program = "echo", args = ["bcd"] }]"#);
    trial.assert_denied("run sh abc", r#""sh"]"#);
}

#[test]
fn long_output_of_a_program_is_cut_with_a_note_for_the_hook() {
    let trial = Trial::new("run = ['echo']\n[hooks]\noutput = '8B'");
    assert_eq!(trial.ask("run echo abc"), "abc");
    assert_eq!(trial.ask("run echo abcdefghijkl"), "… (truncated: the log has more of it)");
}

#[test]
fn the_operators_file_caps_every_grant() {
    let trial = Trial::new("run = ['echo']\nread = ['.']\nwrite = ['.']\nhttp = ['127.0.0.1:1']\nenv = ['SECRET']");
    let caps = "[hooks.grants]\nrun = []\nread = ['priv']\nwrite = []\nhttp = []\nenv = []\n";
    let operators = fs::read_to_string(trial.sandbox.config()).unwrap() + caps;
    fs::write(trial.sandbox.config(), operators).unwrap();
    let file = trial.sandbox.config().display().to_string();
    assert_eq!(trial.ask("read priv/note"), "a note");
    for request in ["read mix.exs", "write priv/note", "post http://127.0.0.1:1/", "variable SECRET", "run echo a"] {
        trial.assert_denied(request, &file);
    }
}

#[test]
fn a_write_grant_includes_reading_only_if_the_operator_allows_reading() {
    let trial = Trial::new("write = ['.']");
    assert_eq!(trial.ask("read mix.exs"), "the project");
    let caps = fs::read_to_string(trial.sandbox.config()).unwrap() + "[hooks.grants]\nread = ['priv']\n";
    fs::write(trial.sandbox.config(), caps).unwrap();
    assert_eq!(trial.ask("read priv/note"), "a note");
    for request in ["read mix.exs", "list .", "rename mix.exs priv/mine", "link mix.exs priv/mine"] {
        assert!(trial.ask(request).starts_with("error: "), "{request}");
    }
    assert_eq!(trial.ask("write new.txt"), "written");
    assert_eq!(fs::read_to_string(trial.build_dir().join("mix.exs")).unwrap(), "the project");
}

#[test]
fn a_dry_run_lists_what_a_hook_asks_for_and_does_none_of_it() {
    let port = echo();
    let trial =
        Trial::new(&format!("run = ['touch']\nread = ['.']\nwrite = ['priv', 'tmp']\nhttp = ['127.0.0.1:{port}']"));
    let url = format!("post http://127.0.0.1:{port}/hook");
    let requests = [
        "run touch made-by-a-program",
        "write priv/note",
        "read priv/note",
        "append priv/static/app.css",
        "read priv/static/app.css",
        "make tmp",
        "write tmp/new",
        "rename tmp/new tmp/newer",
        "read tmp/newer",
        "remove priv/note",
        "read priv/note",
        "write mix.exs",
        &url,
    ];
    let output = trial.run(&requests, &["--dry-run", "--json"]);
    let report: Value = serde_json::from_str(&output.stdout).unwrap();

    let build_dir = trial.build_dir().canonicalize().unwrap();
    let file = |how: &str, name: &str| json!({ "write": format!("{how} {}", build_dir.join(name).display()) });
    let expected = json!([
        { "run": "touch made-by-a-program" },
        file("write", "priv/note"),
        file("write", "priv/static/app.css"),
        file("create the folder", "tmp"),
        file("write", "tmp/new"),
        file(&format!("rename {} to", build_dir.join("tmp/new").display()), "tmp/newer"),
        file("remove", "priv/note"),
        { "request": format!("POST http://127.0.0.1:{port}/hook") },
    ]);
    assert_eq!(report["asked_for"], expected, "{output:?}");
    // Each change succeeds, and reads still return the old contents.
    let log = report["log"].as_array().unwrap();
    for line in [
        "write priv/note -> written",
        "read priv/note -> a note",
        "read priv/static/app.css -> body {}",
        "rename tmp/new tmp/newer -> renamed",
    ] {
        assert!(log.iter().any(|said| said == line), "{line} is not in {log:?}");
    }
    assert!(log.iter().any(|said| said.as_str().unwrap().starts_with("read tmp/newer -> error: ")), "{log:?}");
    assert!(log.iter().any(|said| said.as_str().unwrap().starts_with("write mix.exs -> error: ")), "{log:?}");
    let read = |path: &str| fs::read_to_string(trial.build_dir().join(path)).unwrap();
    assert_eq!((read("priv/note"), read("priv/static/app.css")), ("a note".into(), "body {}".into()));
    assert!(!trial.build_dir().join("tmp").exists() && !trial.build_dir().join("made-by-a-program").exists());
}
