//! `gatling help`, and calling gatling wrongly.

use std::collections::BTreeSet;

use gatling_tests::Sandbox;

use crate::run;

#[test]
fn the_help_of_every_command_lists_its_arguments() {
    let sandbox = Sandbox::new().unwrap();
    let commands: &[(&[&str], &[&str])] = &[
        (&["load"], &["<PROJECT>", "--branch"]),
        (&["deploy"], &["<PROJECT>"]),
        (&["upgrade"], &["<PROJECT>"]),
        (&["receive"], &["<PROJECT>", "[REF]..."]),
        (&["unload"], &["<PROJECT>", "--yes"]),
        (&["config"], &["list", "get", "set", "unset"]),
        (&["config", "list"], &["<PROJECT>", "--json"]),
        (&["config", "get"], &["<PROJECT>", "<KEY>"]),
        (&["config", "set"], &["<PROJECT>", "<KEY=VALUE>...", "KEY=-"]),
        (&["config", "unset"], &["<PROJECT>", "<KEY>..."]),
        (&["console"], &["<PROJECT>"]),
        (&["run"], &["<PROJECT>", "-- <COMMAND>..."]),
        (&["restart"], &["<PROJECT>", "--json"]),
        (&["status"], &["[PROJECT]", "--json"]),
        (&["sudoers"], &["<PROJECT>"]),
        (&["history"], &["<PROJECT>", "-n", "RUNS", "--json"]),
        (&["log"], &["<PROJECT>", "[RUN]", "--follow", "--json", "--quiet", "--verbose"]),
        (&["report"], &["<PROJECT>", "[RUN]", "--out"]),
        (&["logs"], &["<PROJECT>", "--follow", "-f", "-n", "LINES"]),
        (&["cancel"], &["<PROJECT>", "[RUN]"]),
        (&["env"], &["<PROJECT>", "--json"]),
        (&["plan"], &["<PROJECT>", "[PIPELINE]", "--json"]),
        (&["hooks"], &["check"]),
        (&["rollback"], &["<PROJECT>", "[RELEASE]", "--past-migrations", "--migrate-down"]),
        (&["releases"], &["<PROJECT>", "--json"]),
        (&["maintenance"], &["<PROJECT>", "<STATE>", "--page"]),
        (&["hooks", "check"], &["[FILES]...", "--json"]),
        (&["hooks", "build"], &["[DIR]", "--json"]),
        (&["hooks", "run"], &["<FILE> <HOOK>", "--json", "--dry-run"]),
    ];
    let all =
        run(&sandbox, &["--help"], 0, &["GATLING_HOME", "GATLING_ETC_DIR", "GATLING_NGINX_DIR", "GATLING_CONFIG"]);
    let listed = all.split("Commands:").nth(1).unwrap().split("\n\n").next().unwrap();
    let listed: BTreeSet<_> = listed.lines().filter_map(|line| line.split_whitespace().next()).collect();

    for (command, words) in commands {
        assert!(listed.contains(command[0]), "{command:?} is not in\n{all}");
        run(&sandbox, &[*command, &["--help"]].concat(), 0, words);
    }

    let tested: BTreeSet<_> = commands.iter().map(|(command, _)| command[0]).chain(["help"]).collect();
    assert_eq!(listed, tested);
}

#[test]
fn calling_gatling_wrongly_exits_with_2() {
    let sandbox = Sandbox::new().unwrap();
    for args in [
        &[][..],
        &["dance"],
        &["load"],
        &["plan", "hello", "dance"],
        &["config", "set", "hello"],
        &["run", "hello"],
        &["env", "--jsn"],
    ] {
        run(&sandbox, args, 2, &["--help"]);
    }
}
