//! Secrets stay secret, however they get there.

use std::fs;

use gatling_tests::processes;

use super::{SERVER, gatling, journal, read};

const TOKEN: &str = "s3cr3t-token-of-the-shop";
const PASSWORD: &str = "p4ss-of-the-database";

#[test]
fn no_value_of_the_dotenv_is_recorded_or_shown() {
    let server = SERVER.lock();
    let url = format!("ecto://shop:{PASSWORD}@localhost/shop");
    gatling(server.sandbox, &["config", "set", "hello", &format!("TOKEN={TOKEN}"), &format!("DATABASE_URL={url}")], 0);
    // mix prints them: whole, in two writes, quoted, and the password by itself.
    let lines = "\
        IO.puts(\"whole \" <> System.get_env(\"TOKEN\", \"\"))\n\
        {one, two} = String.split_at(System.get_env(\"TOKEN\", \"\"), 9)\n\
        IO.write(\"split \" <> one)\nProcess.sleep(50)\nIO.puts(two)\n\
        IO.inspect(%{url: System.get_env(\"DATABASE_URL\")})\n\
        IO.puts(:stderr, \"password \" <> (URI.parse(System.get_env(\"DATABASE_URL\", \"\")).userinfo || \"\"))\n";
    let mix_exs = server.hello.read("mix.exs").unwrap();
    server.hello.write("mix.exs", &format!("{lines}{mix_exs}")).unwrap();
    server.hello.set_version("0.2.0").unwrap();
    let good = server.push().unwrap().expect_code(0).unwrap();
    // So does what fails, and the error that says so.
    let raise = "if System.get_env(\"TOKEN\"), do: raise(\"no entry with \" <> System.get_env(\"TOKEN\"))\n";
    server.hello.write("mix.exs", &format!("{raise}{mix_exs}")).unwrap();
    server.hello.commit("It raises").unwrap();
    let bad = server.push().unwrap().expect_code(1).unwrap();

    for (run, shown) in
        [(&good, "whole [TOKEN]"), (&good, "split [TOKEN]"), (&good, "[DATABASE_URL]"), (&bad, "[TOKEN]")]
    {
        assert!(run.text().contains(shown), "{shown} is not in\n{}", run.text());
    }
    let plan = server.sandbox.run(&["plan", "hello"]).unwrap();
    let log = gatling(server.sandbox, &["log", "hello", "--verbose"], 0);
    let report = gatling(server.sandbox, &["report", "hello"], 0);
    let mut texts = vec![good.text(), bad.text(), plan.stdout, plan.stderr, log.stdout, report.stdout];
    for folder in server.sandbox.run_folders("hello") {
        texts.extend(fs::read_dir(folder).unwrap().map(|entry| read(&entry.unwrap().path())));
    }
    for text in texts {
        assert!(!text.contains(TOKEN) && !text.contains(PASSWORD), "{text}");
    }
    let journal = journal(&server);
    gatling(server.sandbox, &["config", "unset", "hello", "TOKEN", "DATABASE_URL"], 0);
    assert!(read(&journal).contains("[TOKEN]"));
}

#[test]
fn no_secret_is_an_argument_of_a_program() {
    let server = SERVER.lock();
    gatling(server.sandbox, &["config", "set", "hello", &format!("TOKEN={TOKEN}")], 0);
    let gate = server.hello.add_gate().unwrap();
    server.hello.commit("A build that waits").unwrap();
    let push = server.hello.start_push(&["main"]).unwrap();
    gate.wait().unwrap();
    for pid in processes::of(server.sandbox.root()) {
        let arguments = processes::arguments(pid);
        assert!(arguments.iter().all(|argument| !argument.contains(TOKEN)), "{arguments:?}");
    }
    gate.open().unwrap();
    push.end().unwrap();
    gatling(server.sandbox, &["config", "unset", "hello", "TOKEN"], 0);
}

#[test]
fn only_the_user_who_deploys_can_read_the_files_of_a_run() {
    use std::os::unix::fs::PermissionsExt as _;
    let server = SERVER.lock();
    let journal = journal(&server);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&journal), 0o600);
    for folder in journal.ancestors().skip(1).take(3) {
        assert_eq!(mode(folder), 0o700, "{}", folder.display());
    }
}
