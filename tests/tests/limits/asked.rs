//! Hooks that use WASI to ask for too much, or for files and secrets that are not granted.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::symlink;

use gatling_tests::places;
use gatling_tests::server::Server;

use crate::{SERVER, SETTINGS, assert_hooks_end_before};

fn asker() -> Vec<u8> {
    fs::read(places::guest("asker").unwrap()).unwrap()
}

/// The settings with additional grants.
fn granting(grants: &str) -> String {
    SETTINGS.replace("[hooks.grants]\n", &format!("[hooks.grants]\n{grants}\n"))
}

/// Asserts that this request of a hook ends the run with `words` before the next step, and that the old version keeps
/// serving.
#[track_caller]
fn assert_request_ends(server: &Server, request: &str, grants: &str, what: &str, words: &str) {
    server.hello.write("wishes", request).unwrap();
    let words = ["the hook before_mix_compile of upgrade.wasm", words];
    assert_hooks_end_before(server, "$ mix compile", &asker(), &granting(grants), what, &words);
}

#[test]
fn a_hook_that_opens_a_thousand_files_is_ended() {
    let words = "more than 256 open files, folders, streams and requests at once";
    assert_request_ends(&SERVER.lock(), "hold mix.exs 1000", "read = ['.']", "files", words);
}

/// Asserts that this request to a server that never answers ends the run with `words`.
#[track_caller]
fn assert_request_to_silent_server_ends(request: impl Fn(&str) -> String, what: &str, words: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let grants = format!("read = ['wishes']\nhttp = ['{address}']");
    assert_request_ends(&SERVER.lock(), &request(&format!("http://{address}/")), &grants, what, words);
}

#[test]
fn a_hook_that_makes_a_thousand_requests_at_once_is_ended() {
    let words = "more than 256 open files, folders, streams and requests at once";
    assert_request_to_silent_server_ends(|url| format!("flood {url} 1000"), "requests", words);
}

#[test]
fn a_request_that_is_never_answered_ends_with_the_hook() {
    let words = "time limit (2.0 s) exceeded";
    assert_request_to_silent_server_ends(|url| format!("post {url}"), "request", words);
}

#[test]
fn hooks_cannot_reach_secrets_or_other_files_of_the_server_in_a_deployment() {
    let server = SERVER.lock();
    let dotenv = fs::read_to_string(server.dotenv()).unwrap() + "SECRET='hush'\n";
    fs::write(server.dotenv(), dotenv).unwrap();
    let hello = &server.hello;
    hello.set_version("0.2.0").unwrap();
    hello.write("gatling.toml", &granting("read = ['.', '$deploy_dir']\nwrite = ['.', '$deploy_dir']")).unwrap();
    hello.copy_hooks(&places::guest("asker").unwrap(), "upgrade.wasm").unwrap();
    symlink("../deployments/hello/.env", hello.dir().join("linked.txt")).unwrap();
    let refused = [
        "read deploy:.env",
        "read linked.txt",
        "raw ../deployments/hello/.env",
        "read /etc/passwd",
        "write .git/hooks/post-update",
        "link deploy:.env priv/mine",
        "symlink ../deployments/hello/.env priv/mine",
        "getenv SECRET",
        "variable SECRET",
    ];
    hello.write("wishes", &refused.join("\n")).unwrap();
    let git_hook = fs::read_to_string(server.build_dir().join(".git/hooks/post-update")).unwrap();

    let run = server.push().unwrap().expect_code(0).unwrap();

    let lines = run.output.lines();
    for request in refused {
        let is_refused = |line: &&str| line.starts_with(&format!("    {request} -> error: "));
        assert!(lines.iter().any(is_refused), "{request}:\n{}", run.text());
    }
    assert!(!run.text().contains("hush") && !run.text().contains("root:"), "{}", run.text());
    assert_eq!(fs::read_to_string(server.build_dir().join(".git/hooks/post-update")).unwrap(), git_hook);
    assert!(!server.build_dir().join("priv/mine").exists());
}
