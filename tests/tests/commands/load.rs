//! `gatling load`, and naming projects.

use std::fs;

use gatling_tests::Sandbox;

use crate::{json, run, snapshot};

#[test]
fn loading_a_project_says_what_to_do_next() {
    let sandbox = Sandbox::new().unwrap();
    let repository = sandbox.home().join("hello").display().to_string();

    run(
        &sandbox,
        &["load", "hello"],
        0,
        &["hello is loaded", "gatling config set hello", "git remote add", &repository, "git push server main"],
    );

    assert!(sandbox.home().join("hello/.git").is_dir());
    assert!(sandbox.home().join("deployments/hello").is_dir());
}

#[test]
fn loading_again_keeps_everything() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello", "--branch", "live"], 0, &["git push server live"]);
    run(&sandbox, &["config", "set", "hello", "A=1"], 0, &[]);
    let hook = sandbox.home().join("hello/.git/hooks/post-update");
    fs::remove_file(&hook).unwrap();

    run(&sandbox, &["load", "hello"], 0, &["loaded again", "git push server live"]);

    assert!(hook.is_file(), "the hook is renewed");
    assert_eq!(sandbox.run(&["config", "get", "hello", "A"]).unwrap().stdout, "1\n");
}

#[test]
fn loading_again_changes_the_deploy_branch_when_one_is_named() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["load", "hello"], 0, &["git push server main"]);

    run(&sandbox, &["load", "hello", "--branch", "live"], 0, &["git push server live"]);

    run(&sandbox, &["receive", "hello", "refs/heads/main"], 0, &["not the deploy branch of hello (live)"]);
}

#[test]
fn a_folder_that_is_not_a_repository_is_left_alone() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.home().join("hello");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("thesis.txt"), "important").unwrap();
    let before = snapshot(&sandbox.home());

    run(&sandbox, &["load", "hello"], 2, &["hello already exists", "is not a git repository", "move it away"]);

    assert_eq!(snapshot(&sandbox.home()), before);
}

#[test]
fn a_repository_that_gatling_did_not_create_is_left_alone() {
    let sandbox = Sandbox::new().unwrap();
    let folder = sandbox.home().join("hello");
    sandbox.git(&sandbox.home(), &["init", "--quiet", "hello"]).unwrap();
    sandbox.git(&folder, &["commit", "--quiet", "--allow-empty", "--message", "Mine"]).unwrap();
    let before = snapshot(&sandbox.home());

    run(&sandbox, &["load", "hello"], 2, &["hello is a git repository that gatling did not create", "move it away"]);

    assert_eq!(snapshot(&sandbox.home()), before);
}

#[test]
fn a_name_that_could_leave_its_folder_or_look_like_an_option_is_refused() {
    let sandbox = Sandbox::new().unwrap();
    let before = snapshot(sandbox.root());

    for name in ["../x", "-x", ".x", "a/b", "", "a b", "deployments"] {
        run(&sandbox, &["load", name], 2, &[]);
        run(&sandbox, &["load", "--", name], 2, &["name"]);
        run(&sandbox, &["unload", "--yes", "--", name], 2, &["name"]);
    }

    assert_eq!(snapshot(sandbox.root()), before);
}

#[test]
fn an_unknown_project_is_refused_with_the_known_ones_and_a_suggestion() {
    let sandbox = Sandbox::new().unwrap();
    run(&sandbox, &["env", "hello"], 2, &["there is no project hello", "No project is loaded", "gatling load hello"]);
    run(&sandbox, &["load", "hello"], 0, &[]);
    run(&sandbox, &["load", "shop"], 0, &[]);
    let before = snapshot(&sandbox.home());

    for args in [
        &["env", "helo"][..],
        &["plan", "helo"],
        &["deploy", "helo"],
        &["upgrade", "helo"],
        &["receive", "helo", "refs/heads/main"],
        &["unload", "helo", "--yes"],
        &["config", "list", "helo"],
        &["config", "get", "helo", "A"],
        &["config", "set", "helo", "A=1"],
        &["config", "unset", "helo", "A"],
    ] {
        let words = ["there is no project helo", "Did you mean hello?", "hello, shop", "gatling load helo"];
        run(&sandbox, args, 2, &words);
    }

    let far = run(&sandbox, &["env", "warehouse"], 2, &["hello, shop"]);
    assert!(!far.contains("Did you mean"), "{far}");
    assert_eq!(snapshot(&sandbox.home()), before);
}

#[test]
fn the_facts_of_a_loaded_project_are_one_json_object() {
    let sandbox = Sandbox::new().unwrap();
    let expected = |renewed: bool, branch: &str| {
        serde_json::json!({
            "project": "hello",
            "repository": sandbox.home().join("hello"),
            "deploy_dir": sandbox.home().join("deployments/hello"),
            "branch": branch,
            "strict": false,
            "renewed": renewed,
        })
    };
    assert_eq!(json(&sandbox, &["load", "hello", "--json"], 0), expected(false, "main"));
    assert_eq!(json(&sandbox, &["load", "hello", "--branch", "live", "--json"], 0), expected(true, "live"));
}
