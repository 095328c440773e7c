//! Grants, and the messages of denials.

use super::*;
use crate::written::{matches, toml_string};

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
fn a_program_may_only_be_run_under_exactly_the_granted_name() {
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
        let args: Vec<_> = denied.iter().map(|arg| format!("{arg:?}")).collect();
        assert!(error.contains(&format!("{{ program = \"npm\", args = [{}] }}]", args.join(", "))), "{error}");
    }
    assert_eq!(run(&grants, "git", &["log"], &[]), Ok(()));
    assert_eq!(run(&grants, "git", &["log", "-1", "--oneline"], &[]), Ok(()));
    assert!(run(&grants, "git", &["push"], &[]).is_err());
}

#[test]
fn the_denial_names_a_line_only_if_a_line_can_grant_it() {
    let grants = grants("http = ['a.org']\nenv = ['A']\nrun = [{ program = 'ls', args = [] }]", "");
    for error in [
        grants.can_read_variable("A-B"),
        grants.can_read_variable(""),
        grants.may_request("a!b", 443),
        grants.may_request("", 80),
    ] {
        let error = error.expect_err("it is not a valid name");
        assert!(!error.contains("[hooks.grants]"), "{error}");
    }
    let error = run(&grants, "ls", &["**", "b"], &[]).expect_err("it isn't granted");
    let line = error.split("[hooks.grants]: ").nth(1).expect("it names the line");
    assert_eq!(run(&self::grants(line, ""), "ls", &["**", "b"], &[]), Ok(()));
}

#[test]
fn a_grant_with_arguments_only_allows_the_variables_that_it_names() {
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
fn a_grant_with_arguments_only_allows_the_folders_that_it_names() {
    let grants = grants(
        "run = ['npm', { program = 'sh', args = ['x.sh'] }, { program = 'make', args = [], cd = ['assets'] }]",
        "",
    );
    let run_in = |program, args: &[String], cd| grants.may_run(Run { program, args, env: &[], cd });
    let script = ["x.sh".to_owned()];
    assert_eq!(run_in("npm", &[], Some("/anywhere")), Ok(()));
    assert_eq!(run_in("sh", &script, None), Ok(()));
    let error = run_in("sh", &script, Some("priv")).expect_err("the script is another one in that folder");
    assert!(error.ends_with(r#"{ program = "sh", args = ["x.sh"], cd = ["priv"] }]"#), "{error}");
    assert_eq!(run_in("make", &[], Some("assets")), Ok(()));
    assert!(run_in("make", &[], Some("assets/..")).is_err());
}

#[test]
fn a_star_stands_for_any_characters() {
    for (pattern, text, expected) in [
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
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
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
fn writable_paths_are_readable_and_paths_beside_them_are_not() {
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
fn a_grant_for_a_whole_folder_excludes_the_secrets_and_the_files_of_git_and_gatling() {
    let grants = grants("read = ['.', '$deploy_dir']\nwrite = ['.', '$deploy_dir']", "");
    assert!(grants.may_access(Access::Read, Base::Deploy, Path::new(".env")).is_err());
    for path in
        [".git/hooks/post-update", "deps/x/.git/hooks/post-checkout", "unload.wasm", "rollback.wasm", "gatling.toml"]
    {
        assert!(grants.may_access(Access::Write, Base::Build, Path::new(path)).is_err(), "{path}");
    }
    assert_eq!(grants.may_access(Access::Read, Base::Build, Path::new(".git/HEAD")), Ok(()));
    assert_eq!(grants.may_access(Access::Write, Base::Deploy, Path::new("log")), Ok(()));
}

#[test]
fn a_granted_path_must_be_below_its_base() {
    assert!(refused("read = ['$deploy_dir/.env/x']").contains("grant its variables by name"));
    for path in ["/etc", "..", "priv/../../x", "$deploy_dir/../other", "$deploy_dirs", "$home/x", "", "a\0b"] {
        let error = refused(&format!("read = [{}]", toml_string(path)));
        assert!(error.contains("build dir"), "{path}: {error}");
    }
    let grant = PathGrant::try_from("$build_dir/./priv//static/".to_owned()).expect("it is below the build dir");
    assert_eq!(grant, PathGrant { base: Base::Build, path: "priv/static".into() });
}

#[test]
fn a_hook_is_confined_to_paths_that_both_files_grant() {
    let grants = grants("read = ['.', 'priv/static']\nwrite = ['priv']", "read = ['priv', 'lib']\nwrite = ['.']");
    let confinement = |access, path| grants.confinement(access, Base::Build, Path::new(path));
    assert_eq!(confinement(Access::Read, "priv/static/a"), Some("priv".into()));
    assert_eq!(confinement(Access::Read, "lib/a"), Some("lib".into()));
    assert_eq!(confinement(Access::Read, "mix.exs"), None);
    assert_eq!(confinement(Access::Write, "priv/static/a"), Some("priv".into()));
    assert_eq!(confinement(Access::Write, "lib/a"), None);
    assert!(grants.contains_granted(Base::Build, Path::new("priv")));
    assert!(!grants.contains_granted(Base::Build, Path::new("lib")), "it is granted itself, not something below it");
    assert!(!grants.contains_granted(Base::Deploy, Path::new("")));
    let grants = self::grants(
        "read = ['a/b/c', 'x/y']\nwrite = ['$deploy_dir/l/m']",
        "read = ['a/b']\nwrite = ['$deploy_dir/l/m/n']",
    );
    for (base, path, expected) in [
        (Base::Build, "a", true),
        (Base::Build, "a/b", true),
        (Base::Build, "a/b/c", false),
        (Base::Build, "x", false),
        (Base::Deploy, "l/m", true),
        (Base::Deploy, "l/m/n", false),
        (Base::Deploy, "a", false),
    ] {
        assert_eq!(grants.contains_granted(base, Path::new(path)), expected, "{path}");
    }
}

#[test]
fn servers_are_granted_by_host_and_port() {
    let grants = grants("http = ['Hooks.Slack.com', '127.0.0.1:8080', '[::1]:9000']", "");
    assert_eq!(grants.may_request("hooks.slack.COM", 443), Ok(()));
    assert_eq!(grants.may_request("hooks.slack.com", 80), Ok(()));
    assert_eq!(grants.may_request("127.0.0.1", 8080), Ok(()));
    assert_eq!(grants.may_request("[::1]", 9000), Ok(()));
    for (host, port, expected) in [
        ("hooks.slack.com", 8443, "\"hooks.slack.com:8443\"]"),
        ("slack.com", 443, "\"slack.com\"]"),
        ("hooks.slack.com.evil.org", 443, "\"hooks.slack.com.evil.org\"]"),
        ("127.0.0.1", 80, "\"127.0.0.1\"]"),
        ("[::1]", 9001, "\"[::1]:9001\"]"),
    ] {
        let error = grants.may_request(host, port).expect_err(host);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn invalid_servers_programs_and_variables_are_refused() {
    for text in ["https://a.b", "a b", "", "a:b", "a:99999", "::1", "a/b", "[nonsense]:80"] {
        assert!(refused(&format!("http = [{text:?}]")).contains("is not a server"), "{text}");
    }
    assert!(refused("env = ['A-B']").contains("A-B"));
    assert!(refused("run = [1]").contains("a program such as"));
    assert!(refused("run = [{ program = 'a', arguments = [] }]").contains("arguments"));
    assert!(refused("run = [{ program = 'a', args = ['**', 'b'] }]").contains("it must be the last pattern of `args`"));
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
        grants.may_request("a.org", 443),
        grants.can_read_variable("B"),
    ] {
        assert!(denied.expect_err("it is capped").contains("/etc/gatling/gatling.toml"));
    }
}
