//! What is granted, and what is said of what isn't.

use super::*;

fn grants(project: &str, operator: &str) -> Grants {
    let granted = toml::from_str(project).expect("grants");
    let caps = toml::from_str(operator).expect("caps");
    Grants::of(&granted, &caps, Path::new("/etc/gatling/gatling.toml"))
}

fn run(grants: &Grants, program: &str, args: &[&str], env: &[&str]) -> Result<(), String> {
    let args: Vec<_> = args.iter().map(|arg| (*arg).to_owned()).collect();
    grants.may_run(Run { program, args: &args, env, cd: None })
}

fn refused(text: &str) -> String {
    toml::from_str::<GrantSettings>(text).expect_err(text).to_string()
}

#[test]
fn nothing_may_be_run_that_is_not_granted_by_its_very_name() {
    let grants = grants("run = ['npm']", "");
    assert_eq!(run(&grants, "npm", &["run", "x"], &[]), Ok(()));
    for program in ["np", "npmx", "/usr/bin/npm", "./npm", "", "NPM"] {
        let error = run(&grants, program, &[], &[]).expect_err(program);
        assert!(error.contains(&format!("run = [\"npm\", {program:?}]")), "{error}");
    }
}

#[test]
fn arguments_are_granted_by_patterns() {
    let grants =
        grants("run = [{ program = 'npm', args = ['run', 'build-*'] }, { program = 'git', args = ['log', '**'] }]", "");
    assert_eq!(run(&grants, "npm", &["run", "build-css"], &[]), Ok(()));
    for denied in [&["run"][..], &["run", "deploy"], &["run", "build-css", "--force"], &[]] {
        let error = run(&grants, "npm", denied, &[]).expect_err("other arguments");
        let wanted: Vec<_> = denied.iter().map(|arg| format!("{arg:?}")).collect();
        assert!(error.contains(&format!("{{ program = \"npm\", args = [{}] }}]", wanted.join(", "))), "{error}");
    }
    assert_eq!(run(&grants, "git", &["log"], &[]), Ok(()));
    assert_eq!(run(&grants, "git", &["log", "-1", "--oneline"], &[]), Ok(()));
    assert!(run(&grants, "git", &["push"], &[]).is_err());
}

#[test]
fn what_no_line_can_grant_is_said_without_one() {
    let grants = grants("http = ['a.org']\nenv = ['A']\nrun = [{ program = 'ls', args = [] }]", "");
    for error in [
        grants.can_read_variable("A-B"),
        grants.can_read_variable(""),
        grants.may_ask("a!b", 443),
        grants.may_ask("", 80),
    ] {
        let error = error.expect_err("it is no name");
        assert!(!error.contains("[hooks.grants]"), "{error}");
    }
    let error = run(&grants, "ls", &["**", "b"], &[]).expect_err("it isn't granted");
    let line = error.split("[hooks.grants]: ").nth(1).expect("it names the line");
    assert_eq!(run(&self::grants(line, ""), "ls", &["**", "b"], &[]), Ok(()));
}

#[test]
fn where_arguments_are_granted_variables_are_too() {
    let text = "run = ['sh', { program = 'npm', args = ['ci'] }, { program = 'mix', args = ['x'], env = ['A', 'B'] }, { program = 'go', env = [] }]";
    let grants = grants(text, "");
    assert_eq!(run(&grants, "sh", &["-c", "x"], &["ANY"]), Ok(()));
    assert_eq!(run(&grants, "npm", &["ci"], &[]), Ok(()));
    let error = run(&grants, "npm", &["ci"], &["NODE_OPTIONS"]).expect_err("it isn't granted");
    let line = r#"{ program = "npm", args = ["ci"], env = ["NODE_OPTIONS"] }]"#;
    assert!(error.contains("the variables [\"NODE_OPTIONS\"]") && error.ends_with(line), "{error}");
    assert_eq!(run(&grants, "mix", &["x"], &["B"]), Ok(()));
    assert!(run(&grants, "mix", &["x"], &["B", "C"]).is_err());
    assert_eq!(run(&grants, "go", &["x"], &[]), Ok(()));
    assert!(run(&grants, "go", &["x"], &["C"]).is_err());
}

#[test]
fn where_arguments_are_granted_folders_are_too() {
    let grants = grants(
        "run = ['npm', { program = 'sh', args = ['x.sh'] }, { program = 'make', args = [], cd = ['assets'] }]",
        "",
    );
    let run_in = |program, args: &[String], cd| grants.may_run(Run { program, args, env: &[], cd });
    let script = ["x.sh".to_owned()];
    assert_eq!(run_in("npm", &[], Some("/anywhere")), Ok(()));
    assert_eq!(run_in("sh", &script, None), Ok(()));
    let error = run_in("sh", &script, Some("priv")).expect_err("there the script is another");
    assert!(error.ends_with(r#"{ program = "sh", args = ["x.sh"], cd = ["priv"] }]"#), "{error}");
    assert_eq!(run_in("make", &[], Some("assets")), Ok(()));
    assert!(run_in("make", &[], Some("assets/..")).is_err());
}

#[test]
fn a_star_stands_for_any_characters() {
    for (pattern, text, fits) in [
        ("*", "", true),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "abcd", false),
        ("a*a", "a", false),
        ("*b*", "abc", true),
        ("a*b*c", "a-c-b-c", true),
        ("a*bc*bc", "abc", false),
        ("abc", "abcd", false),
        ("é*", "été", true),
    ] {
        assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
    }
}

#[test]
fn the_line_that_a_denial_names_is_one_that_grants_it() {
    let grants = grants("read = ['mix.exs']", "");
    for (base, path) in
        [(Base::Build, "config/a \"b\".exs"), (Base::Deploy, "log/hello.log"), (Base::Build, ""), (Base::Deploy, "")]
    {
        let error = grants.may_access(Access::Read, base, Path::new(path)).expect_err(path);
        let (_, line) = error.split_once("[hooks.grants]: ").expect("it names the line");
        let after = self::grants(line, "");
        assert_eq!(after.may_access(Access::Read, base, Path::new(path)), Ok(()), "{line}");
        assert_eq!(after.may_access(Access::Read, Base::Build, Path::new("mix.exs")), Ok(()), "{line}");
    }
}

#[test]
fn what_may_be_written_may_be_read_and_nothing_beside_it() {
    let grants = grants("write = ['priv/static', '$deploy_dir/shared']", "");
    for access in [Access::Read, Access::Write] {
        assert_eq!(grants.may_access(access, Base::Build, Path::new("priv/static/a/b.css")), Ok(()));
        assert_eq!(grants.may_access(access, Base::Deploy, Path::new("shared")), Ok(()));
        for path in ["priv", "priv/static2", "", "shared", "mix.exs"] {
            assert!(grants.may_access(access, Base::Build, Path::new(path)).is_err(), "{path}");
        }
    }
}

#[test]
fn a_whole_folder_is_granted_without_the_secrets_and_without_gits_own() {
    let grants = grants("read = ['.', '$deploy_dir']\nwrite = ['.', '$deploy_dir']", "");
    assert!(grants.may_access(Access::Read, Base::Deploy, Path::new(".env")).is_err());
    for path in [".git/hooks/post-update", "deps/x/.git/hooks/post-checkout", "unload.wasm", "gatling.toml"] {
        assert!(grants.may_access(Access::Write, Base::Build, Path::new(path)).is_err(), "{path}");
    }
    assert_eq!(grants.may_access(Access::Read, Base::Build, Path::new(".git/HEAD")), Ok(()));
    assert_eq!(grants.may_access(Access::Write, Base::Deploy, Path::new("log")), Ok(()));
}

#[test]
fn a_path_stays_below_its_folder() {
    assert!(refused("read = ['$deploy_dir/.env/x']").contains("by their names"));
    for path in ["/etc", "..", "priv/../../x", "$deploy_dir/../other", "$deploy_dirs", "$home/x", "", "a\0b"] {
        let error = refused(&format!("read = [{}]", quoted(path)));
        assert!(error.contains("build dir"), "{path}: {error}");
    }
    let grant = PathGrant::try_from("$build_dir/./priv//static/".to_owned()).expect("it is below the build dir");
    assert_eq!(grant, PathGrant { base: Base::Build, path: "priv/static".into() });
}

#[test]
fn a_hook_is_confined_to_what_both_files_grant() {
    let grants = grants("read = ['.', 'priv/static']\nwrite = ['priv']", "read = ['priv', 'lib']\nwrite = ['.']");
    let within = |access, path| grants.confinement(access, Base::Build, Path::new(path));
    assert_eq!(within(Access::Read, "priv/static/a"), Some("priv".into()));
    assert_eq!(within(Access::Read, "lib/a"), Some("lib".into()));
    assert_eq!(within(Access::Read, "mix.exs"), None);
    assert_eq!(within(Access::Write, "priv/static/a"), Some("priv".into()));
    assert_eq!(within(Access::Write, "lib/a"), None);
    assert!(grants.is_on_the_way(Base::Build, Path::new("priv")));
    assert!(!grants.is_on_the_way(Base::Build, Path::new("lib")), "it is granted itself, and nothing below it");
    assert!(!grants.is_on_the_way(Base::Deploy, Path::new("")));
    let grants = self::grants(
        "read = ['a/b/c', 'x/y']\nwrite = ['$deploy_dir/l/m']",
        "read = ['a/b']\nwrite = ['$deploy_dir/l/m/n']",
    );
    for (base, path, leads) in [
        (Base::Build, "a", true),
        (Base::Build, "a/b", true),
        (Base::Build, "a/b/c", false),
        (Base::Build, "x", false),
        (Base::Deploy, "l/m", true),
        (Base::Deploy, "l/m/n", false),
        (Base::Deploy, "a", false),
    ] {
        assert_eq!(grants.is_on_the_way(base, Path::new(path)), leads, "{path}");
    }
}

#[test]
fn servers_are_granted_by_host_and_port() {
    let grants = grants("http = ['Hooks.Slack.com', '127.0.0.1:8080', '[::1]:9000']", "");
    assert_eq!(grants.may_ask("hooks.slack.COM", 443), Ok(()));
    assert_eq!(grants.may_ask("hooks.slack.com", 80), Ok(()));
    assert_eq!(grants.may_ask("127.0.0.1", 8080), Ok(()));
    assert_eq!(grants.may_ask("[::1]", 9000), Ok(()));
    for (host, port, named) in [
        ("hooks.slack.com", 8443, "\"hooks.slack.com:8443\"]"),
        ("slack.com", 443, "\"slack.com\"]"),
        ("hooks.slack.com.evil.org", 443, "\"hooks.slack.com.evil.org\"]"),
        ("127.0.0.1", 80, "\"127.0.0.1\"]"),
        ("[::1]", 9001, "\"[::1]:9001\"]"),
    ] {
        let error = grants.may_ask(host, port).expect_err(host);
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn what_is_no_server_no_program_or_no_variable_is_refused() {
    for text in ["https://a.b", "a b", "", "a:b", "a:99999", "::1", "a/b", "[nonsense]:80"] {
        assert!(refused(&format!("http = [{text:?}]")).contains("is no server"), "{text}");
    }
    assert!(refused("env = ['A-B']").contains("A-B"));
    assert!(refused("run = [1]").contains("a program such as"));
    assert!(refused("run = [{ program = 'a', arguments = [] }]").contains("arguments"));
    assert!(refused("run = [{ program = 'a', args = ['**', 'b'] }]").contains("the last"));
}

#[test]
fn the_operator_caps_what_a_project_grants_itself() {
    let grants = grants(
        "run = ['npm', 'sh']\nread = ['.']\nwrite = ['.']\nhttp = ['a.org']\nenv = ['A', 'B']",
        "run = ['npm']\nread = ['priv']\nwrite = []\nhttp = []\nenv = ['A']",
    );
    assert_eq!(run(&grants, "npm", &[], &[]), Ok(()));
    assert_eq!(grants.may_access(Access::Read, Base::Build, Path::new("priv/x")), Ok(()));
    assert_eq!(grants.can_read_variable("A"), Ok(()));
    assert_eq!(grants.variables().collect::<Vec<_>>(), ["A"]);
    for denied in [
        run(&grants, "sh", &[], &[]),
        grants.may_access(Access::Read, Base::Build, Path::new("lib")),
        grants.may_access(Access::Write, Base::Build, Path::new("priv/x")),
        grants.may_ask("a.org", 443),
        grants.can_read_variable("B"),
    ] {
        assert!(denied.expect_err("it is capped").contains("/etc/gatling/gatling.toml"));
    }
}
