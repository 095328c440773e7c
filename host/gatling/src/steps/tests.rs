//! What the steps would do, told from their env alone: the exact commands.

use std::path::PathBuf;

use super::{Action, keep_releases, mix, nginx, release, removal, service};
use crate::env::server::{Link, ServerFacts, SiteInPlace};
use crate::env::{Env, Site, Source};
use crate::plan::Plan;
use crate::task::Task;
use gatling_config::roots::Roots;
use gatling_process::Environment;
use gatling_templates::{self as templates, SiteText};

/// The env of a project in a home of its own, as for an upgrade from 0.1.0 to 0.2.0. The
/// folder goes with the returned guard.
fn env() -> (tempfile::TempDir, Env) {
    let folder = tempfile::tempdir().expect("a folder");
    let home = folder.path().to_owned();
    let roots = Roots {
        etc_dir: home.join("init.d"),
        nginx_dir: home.join("nginx"),
        logrotate_dir: None,
        lib_dir: None,
        config: home.join("gatling.toml"),
        home,
    };
    for dir in [roots.etc_dir.clone(), roots.home.join("deployments/hello")] {
        std::fs::create_dir_all(dir).expect("a folder");
    }
    let paths = roots.project(&"hello".parse().expect("a name"));
    // Of all tasks this one asks no mix: what mix would say is put in by hand.
    let mut env = Env::build(&paths, Task::Unload, &Source::default()).expect("nothing is missing");
    env.task = Task::Upgrade;
    env.version = "0.2.0".to_owned();
    env.previous_version = Some("0.1.0".to_owned());
    env.facts.release = "hello".to_owned();
    env.facts.release_path = "/b/rel/hello".into();
    env.built_release_path = "/b/rel/hello".into();
    env.upgrade_dir = paths.releases_dir().join("0.2.0");
    env.upgrade_path = env.upgrade_dir.join("hello");
    env.available_port = 20_123;
    env.domains = vec!["www.example.com".to_owned()];
    env.nginx_template = String::new();
    render_site(&mut env);
    (folder, env)
}

/// Gatling's site for what the env says by now.
fn render_site(env: &mut Env) {
    let site = SiteText::new(&env.operator.nginx, &env.settings.nginx, &env.domains, env.available_port, None);
    let (text, proof) = (site.render(&env.paths.name).expect("it renders"), site.proof());
    env.site = Site::new(&text, &env.domains, Some(proof));
    env.nginx_template = text;
}

/// The actions as `plan` shows them, with the folder's own path left out.
fn texts(actions: anyhow::Result<Vec<Action>>, env: &Env) -> Vec<String> {
    let home = env.paths.roots.home.display().to_string();
    let actions = actions.expect("it can be told");
    actions
        .iter()
        .flat_map(|action| action.to_string().lines().map(|l| l.replace(&home, "~")).collect::<Vec<_>>())
        .collect()
}

#[test]
fn mix_fetches_and_compiles_in_the_build_dir_with_the_projects_variables() {
    let (_guard, mut env) = env();
    assert_eq!(texts(mix::deps_get(&env), &env), ["$ mix deps.get --only prod"]);
    assert_eq!(texts(mix::compile(&env), &env), ["$ mix compile"]);
    env.settings.mix.force_compile = true;
    assert_eq!(texts(mix::compile(&env), &env), ["$ mix compile --force"]);
    env.mix.variables = [("MIX_ENV", "prod"), ("SECRET", "s")].into_iter().collect();
    let actions = mix::compile(&env).expect("it can be told");
    let command = actions[0].commands()[0];
    assert_eq!(command.dir, env.build_dir);
    assert_eq!(command.env, env.mix.variables);
    assert!(!command.to_string().contains("SECRET"), "secrets are not shown");
}

#[test]
fn assets_are_built_with_the_alias_or_digested_or_left_alone() {
    let (_guard, mut env) = env();
    assert_eq!(
        texts(mix::digest(&env), &env),
        ["nothing to do: the project has no mix task phx.digest and no alias assets.deploy"]
    );
    env.facts.dependencies = vec!["phoenix".to_owned()];
    assert_eq!(texts(mix::digest(&env), &env), ["$ mix phx.digest  (if there is a mix task phx.digest by then)"]);
    env.facts.tasks = vec!["phx.digest".to_owned()];
    assert_eq!(texts(mix::digest(&env), &env), ["$ mix phx.digest"]);
    env.facts.tasks.insert(0, "assets.deploy".to_owned());
    assert_eq!(texts(mix::digest(&env), &env), ["$ mix assets.deploy"]);
}

#[test]
fn a_release_counts_only_when_mix_wrote_it_anew() {
    let (_guard, env) = env();
    let marker = PathBuf::from("/b/rel/hello/releases/start_erl.data");
    let actions = mix::release(&env).expect("it can be told");
    assert_eq!(actions[0], Action::Clear { path: marker.clone() });
    assert_eq!(actions[1].to_string(), "$ mix release --overwrite --quiet");
    assert_eq!(actions[2], Action::ProveRelease { marker, version: "0.2.0".to_owned() });
}

#[test]
fn a_release_comes_into_its_folder_by_a_rename() {
    let (_guard, env) = env();
    assert_eq!(
        texts(release::copy_to_upgrade(&env), &env),
        [
            "$ cp -a --reflink=auto /b/rel/hello ~/deployments/hello/releases/0.2.0/hello.partial",
            "add to ~/deployments/hello/releases/0.2.0/hello.partial/releases/0.2.0/env.sh",
            "$ mv -T -f ~/deployments/hello/releases/0.2.0/hello.partial ~/deployments/hello/releases/0.2.0/hello",
        ]
    );
}

#[test]
fn the_service_is_called_as_service_calls_it() {
    let (_guard, mut env) = env();
    env.server.init_script = Some(env.script_template.clone());
    let upgrade = service::upgrade(&env).expect("it can be told");
    assert_eq!(texts(Ok(upgrade.clone()), &env)[0], "$ ~/init.d/hello upgrade 0.2.0");
    let command = upgrade[0].commands()[0];
    assert_eq!(command.environment, Environment::Only(&["LANG", "PATH", "TERM"]));
    assert_eq!(command.dir, PathBuf::from("/"));
    assert!(command.finishes_alone, "a kill between stop and start must not leave nothing running");

    env.paths.roots.etc_dir = "/etc/init.d".into();
    assert_eq!(texts(service::upgrade(&env), &env)[0], "$ service hello upgrade 0.2.0");
    env.server.sudo = true;
    assert_eq!(texts(service::upgrade(&env), &env)[0], "$ sudo -n service hello upgrade 0.2.0");
}

#[test]
fn an_init_script_is_installed_for_boot_too_where_it_is_the_systems() {
    let (_guard, mut env) = env();
    let in_sandbox =
        ["write ~/deployments/hello/init-script", "$ install -m 755 ~/deployments/hello/init-script ~/init.d/hello"];
    assert_eq!(texts(service::install_init_script(&env), &env), in_sandbox);
    env.paths.roots.etc_dir = "/etc/init.d".into();
    env.etc_path = "/nowhere/hello".into();
    assert_eq!(texts(service::install_init_script(&env), &env)[2], "$ update-rc.d hello defaults");
}

#[test]
fn an_upgrade_brings_back_an_init_script_that_is_gone_or_old() {
    let (_guard, mut env) = env();
    let told = texts(service::upgrade(&env), &env);
    assert_eq!(told[1], "$ install -m 755 ~/deployments/hello/init-script ~/init.d/hello");
    assert_eq!(told[2], "$ ~/init.d/hello upgrade 0.2.0");
    let older = format!("#!/bin/sh\n# {}\n", templates::marker(&env.paths.name));
    env.server.init_script = Some(older);
    assert_eq!(texts(service::upgrade(&env), &env), told);
    env.server.init_script = Some("#!/bin/sh\n# the operator's own\n".to_owned());
    assert_eq!(texts(service::upgrade(&env), &env)[0], "$ ~/init.d/hello upgrade 0.2.0", "it is not to be lost");
}

#[test]
fn what_failed_runs_left_of_releases_goes_before_a_new_one_comes() {
    let (_guard, mut env) = env();
    for made in ["0.1.0/hello", "0.1.1/hello.partial", "0.2.0/hello.partial"] {
        std::fs::create_dir_all(env.paths.releases_dir().join(made)).expect("a folder");
    }
    env.server = ServerFacts::gather(&env.paths, &env.build_dir).expect("it can be told");
    let told = texts(release::make_upgrade_dir(&env), &env);
    let expected = ["remove ~/deployments/hello/releases/0.1.1", "remove ~/deployments/hello/releases/0.2.0"];
    assert_eq!(told[..2], expected);
}

#[test]
fn the_app_takes_the_first_host_name_that_is_no_pattern_for_its_own() {
    let (_guard, mut env) = env();
    env.domains = ["*.example.com", ".example.org", "www.example.com"].map(str::to_owned).to_vec();
    let actions = release::make_upgrade_dir(&env).expect("it can be told");
    let Some(Action::WriteFile { path, contents, mode }) = actions.last() else { panic!("{actions:?}") };
    assert!(path.ends_with(".env") && *mode == 0o600, "{}", path.display());
    assert!(contents.contains("PHX_HOST='www.example.com'"), "{contents}");
}

#[test]
fn the_init_script_of_somebody_else_is_left_alone() {
    let (_guard, mut env) = env();
    env.server.init_script = Some("#!/bin/sh\n# ssh\n".to_owned());
    let error = service::install_init_script(&env).expect_err("it is not ours").to_string();
    assert!(error.contains("not this project's"), "{error}");
    assert_eq!(texts(service::remove_init_script(&env), &env).len(), 1, "nor is it removed");
}

#[test]
fn the_last_five_releases_that_served_are_kept_in_the_order_in_which_they_did() {
    let (_guard, env) = env();
    let (served, failed) = (["1", "2", "3", "4", "5", "6"], ["7", "8"]);
    for release in served.iter().chain(&failed) {
        std::fs::create_dir_all(env.paths.releases_dir().join(release).join("hello")).expect("a folder");
    }
    let keep = |release: &str, needed: &[&str]| {
        let needed: Vec<_> = needed.iter().map(|name| (*name).to_owned()).collect();
        keep_releases(&env.paths, release, &needed).expect("it can be done");
    };
    std::fs::write(env.paths.served_file(), "1\n2\n1\n3\n4\n5\n").expect("a file");

    keep("6", &["6", "7"]);

    assert_eq!(env.paths.served(), ["1", "3", "4", "5", "6"], "1 served again after 2");
    let is_there = |release: &&str| env.paths.releases_dir().join(release).exists();
    assert_eq!(served.into_iter().chain(failed).filter(|name| is_there(name)).collect::<String>(), "134567");
    // One that is gone back to is the last one.
    keep("3", &[]);
    assert_eq!(env.paths.served(), ["1", "4", "5", "6", "3"]);
}

#[test]
fn nginx_is_asked_before_it_is_told_and_named_its_configuration() {
    let (_guard, mut env) = env();
    assert_eq!(
        texts(nginx::configure(&env), &env),
        [
            "$ install -D -m 644 ~/deployments/hello/nginx-site ~/nginx/sites-available/hello",
            "$ ln -sfn ~/nginx/sites-available/hello ~/nginx/sites-enabled/hello",
            "$ nginx -c ~/nginx/nginx.conf -t",
            "$ nginx -c ~/nginx/nginx.conf -s reload",
            "check that nginx serves www.example.com at 127.0.0.1:80",
            "visit / at www.example.com through nginx",
        ]
    );
    env.paths.roots.nginx_dir = "/etc/nginx".into();
    assert_eq!(
        texts(nginx::configure(&env), &env)[2..],
        [
            "$ nginx -t",
            "$ nginx -s reload",
            "check that nginx serves www.example.com at 127.0.0.1:80",
            "visit / at www.example.com through nginx"
        ]
    );
}

#[test]
fn nginx_is_asked_where_it_listens_without_tls() {
    let (_guard, mut env) = env();
    for (listen, asked) in [
        (&["443 ssl", "80"][..], "127.0.0.1:80"),
        (&["127.0.0.1:8080"], "127.0.0.1:8080"),
        (&["*:8080 default_server"], "127.0.0.1:8080"),
        (&["[::]:80"], "[::1]:80"),
        (&["192.0.2.1"], "192.0.2.1:80"),
    ] {
        env.operator.nginx.listen = listen.iter().map(|address| (*address).to_owned()).collect();
        render_site(&mut env);
        let told = texts(nginx::configure(&env), &env);
        let check = format!("check that nginx serves www.example.com at {asked}");
        assert!(told.contains(&check), "{check} is not in {told:?}");
    }
    env.nginx_template = "server {}".to_owned();
    env.site = Site::new(&env.nginx_template, &env.domains, None);
    assert!(!texts(nginx::configure(&env), &env).concat().contains("check that"), "of their own site nothing is known");
}

#[test]
fn a_site_that_is_as_it_was_is_left_alone_and_a_strangers_is_refused() {
    let (_guard, mut env) = env();
    env.server.site = SiteInPlace { text: Some(env.nginx_template.clone()), link: Link::Right };
    assert!(texts(nginx::configure(&env), &env)[0].starts_with("nothing to do"));
    env.server.site.link = Link::Other;
    let error = nginx::configure(&env).expect_err("it is not ours").to_string();
    assert!(error.contains("is not gatling's symlink"), "{error}");
    env.server.site.text = Some("server {}".to_owned());
    let error = nginx::configure(&env).expect_err("it is not ours").to_string();
    assert!(error.contains("did not write it"), "{error}");
}

#[test]
fn what_is_in_the_place_of_a_site_is_seen() {
    let (_guard, env) = env();
    let site = || SiteInPlace::gather(&env.paths);
    assert_eq!(site(), SiteInPlace::default());
    for dir in [&env.nginx_available_path, &env.nginx_enabled_path] {
        std::fs::create_dir_all(dir.parent().expect("a folder")).expect("a folder");
    }
    std::fs::write(&env.nginx_available_path, "server {}").expect("a file");
    std::os::unix::fs::symlink(&env.nginx_available_path, &env.nginx_enabled_path).expect("a link");
    assert_eq!(site(), SiteInPlace { text: Some("server {}".to_owned()), link: Link::Right });
    std::fs::remove_file(&env.nginx_enabled_path).expect("it was there");
    std::fs::write(&env.nginx_enabled_path, "").expect("a file");
    assert_eq!(site().link, Link::Other);
}

#[test]
fn a_deploy_dir_that_is_gone_already_is_not_in_the_way_of_unloading() {
    let (_guard, mut env) = env();
    env.server.init_script = Some(env.script_template.clone());
    let told = ["$ ~/init.d/hello stop", "end epmd, if no other app needs it"];
    assert_eq!(texts(service::stop(&env), &env), told);
    env.server.has_deploy_dir = false;
    assert_eq!(texts(service::stop(&env), &env), ["nothing to do: ~/deployments/hello is not there"]);
}

#[test]
fn unloading_removes_both_folders_and_nothing_beside_them() {
    let (_guard, env) = env();
    assert_eq!(texts(removal::deploy_dir(&env), &env), ["remove ~/deployments/hello"]);
    assert_eq!(texts(removal::build_dir(&env), &env), ["remove ~/hello"]);
}

#[test]
fn a_plan_is_computed_from_facts_alone_and_names_what_cannot_be_done() {
    let (guard, mut env) = env();
    let plan = Plan::new(&env, &[]);
    drop(guard);
    assert_eq!(Plan::new(&env, &[]), plan, "nothing is looked at but the facts");
    plan.check().expect("every step can be carried out");
    env.server.site.text = Some("server {}".to_owned());
    let error = format!("{:#}", Plan::new(&env, &[]).check().expect_err("the site is a stranger's"));
    assert!(error.starts_with("the step upgrade_service: ") && error.contains("did not write it"), "{error}");
}
