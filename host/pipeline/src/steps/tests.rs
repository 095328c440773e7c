//! The exact commands of the steps, computed from facts alone.

use std::path::{Path, PathBuf};
use std::time::Duration;

use gatling_config::dotenv::Dotenv;
use gatling_config::roots::Roots;
use gatling_config::slot::{Slot, SlotPorts};
use gatling_process::{Environment, Variables};
use gatling_templates::{self as templates, SiteText};

use super::{install, mix, nginx, release, removal, service};
use crate::facts::mix::{MixCall, MixFacts};
use crate::facts::server::{InstalledSite, Link, Logrotate, ServerFacts, UnitFile, Units};
use crate::facts::{Facts, Site};
use crate::{Action, Pipeline, Plan};

/// The facts of a project in a home that does not exist, for an upgrade from 0.1.0 to 0.2.0.
fn facts() -> Facts {
    let roots = Roots::below(Path::new("/nonexistent"));
    let paths = roots.project(&"hello".parse().expect("a name"));
    let upgrade_dir = paths.releases_dir().join("0.2.0");
    let mut facts = Facts {
        available_port: 20_123,
        available_tasks: Vec::new(),
        build_dir: paths.build_dir(),
        built_release_path: "/b/rel/hello".into(),
        deploy_callback_module: None,
        deploy_dir: paths.deploy_dir(),
        deploy_path: paths.deploy_dir().join("hello.tar.gz"),
        domains: vec!["www.example.com".to_owned()],
        etc_dir: paths.roots.etc_dir.clone(),
        etc_path: paths.init_script(),
        git_hook_path: paths.git_hook(),
        nginx_available_path: paths.nginx_available(),
        nginx_dir: paths.roots.nginx_dir.clone(),
        nginx_enabled_path: paths.nginx_enabled(),
        nginx_template: String::new(),
        project: "hello".to_owned(),
        releases: vec!["0.1.0".to_owned()],
        script_template: templates::init_script(&paths).expect("it renders"),
        upgrade_callback_module: None,
        upgrade_path: upgrade_dir.join("hello"),
        upgrade_dir,
        version: "0.2.0".to_owned(),
        pipeline: Pipeline::Upgrade,
        commit: String::new(),
        branch: "main".to_owned(),
        previous_version: Some("0.1.0".to_owned()),
        strategy: "restart",
        strategy_reason: String::new(),
        otherwise: None,
        soak: Duration::from_secs(10),
        slot: Slot::Blue,
        ports: SlotPorts { blue: 20_123, green: 20_456, token: "t0k3n".to_owned() },
        unload_callback_module: None,
        rollback: None,
        settings: Default::default(),
        operator: Default::default(),
        mix: MixFacts { release: "hello".to_owned(), release_path: "/b/rel/hello".into(), ..MixFacts::default() },
        variables: Default::default(),
        mix_call: MixCall { dir: paths.build_dir(), env: "prod".to_owned(), ..MixCall::default() },
        site: Site::default(),
        server: ServerFacts { has_deploy_dir: true, ..ServerFacts::default() },
        warnings: Vec::new(),
        paths,
    };
    render_site(&mut facts);
    facts
}

/// Renders Gatling's site for the current facts.
fn render_site(facts: &mut Facts) {
    let site = SiteText::new(&facts.operator.nginx, &facts.settings.nginx, &facts.domains, &facts.ports, None, None);
    let (text, proof) = (site.render(&facts.paths.name).expect("it renders"), site.proof());
    facts.site = Site::new(&text, &facts.domains, Some(proof));
    facts.nginx_template = text;
}

/// The actions as `plan` shows them, with `~` for the home's path.
fn texts(actions: anyhow::Result<Vec<Action>>, facts: &Facts) -> Vec<String> {
    let home = facts.paths.roots.home.display().to_string();
    let actions = actions.expect("it can be planned");
    actions
        .iter()
        .flat_map(|action| action.to_string().lines().map(|l| l.replace(&home, "~")).collect::<Vec<_>>())
        .collect()
}

#[test]
fn mix_fetches_and_compiles_in_the_build_dir_with_the_projects_variables() {
    let mut facts = facts();
    assert_eq!(texts(mix::deps_get(&facts), &facts), ["$ mix deps.get --only prod"]);
    assert_eq!(texts(mix::compile(&facts), &facts), ["$ mix compile"]);
    facts.settings.mix.force_compile = true;
    assert_eq!(texts(mix::compile(&facts), &facts), ["$ mix compile --force"]);
    facts.mix_call.variables = [("MIX_ENV", "prod"), ("SECRET", "s")].into_iter().collect();
    let actions = mix::compile(&facts).expect("it can be planned");
    let command = actions[0].commands()[0];
    assert_eq!(command.dir, facts.build_dir);
    assert_eq!(command.env, facts.mix_call.variables);
    assert!(!command.to_string().contains("SECRET"), "secrets are not shown");
}

#[test]
fn assets_are_built_with_the_alias_or_digested_or_left_alone() {
    let mut facts = facts();
    assert_eq!(
        texts(mix::digest(&facts), &facts),
        ["nothing to do: the project has no mix task phx.digest and no alias assets.deploy"]
    );
    facts.mix.dependencies = vec!["phoenix".to_owned()];
    assert_eq!(texts(mix::digest(&facts), &facts), ["$ mix phx.digest  (if the mix task phx.digest exists then)"]);
    facts.mix.tasks = vec!["phx.digest".to_owned()];
    assert_eq!(texts(mix::digest(&facts), &facts), ["$ mix phx.digest"]);
    facts.mix.tasks.insert(0, "assets.deploy".to_owned());
    assert_eq!(texts(mix::digest(&facts), &facts), ["$ mix assets.deploy"]);
}

#[test]
fn a_built_release_must_have_been_written_by_this_run_of_mix() {
    let facts = facts();
    let marker = PathBuf::from("/b/rel/hello/releases/start_erl.data");
    let actions = mix::release(&facts).expect("it can be planned");
    assert_eq!(actions[0], Action::Clear { path: marker.clone() });
    assert_eq!(actions[1].to_string(), "$ mix release --overwrite --quiet");
    assert_eq!(actions[2], Action::ProveRelease { marker, version: "0.2.0".to_owned() });
}

#[test]
fn a_release_is_copied_beside_its_folder_and_then_renamed() {
    let facts = facts();
    assert_eq!(
        texts(release::copy_to_upgrade(&facts), &facts),
        [
            "$ cp -a --reflink=auto /b/rel/hello ~/deployments/hello/releases/0.2.0/hello.partial",
            "add to ~/deployments/hello/releases/0.2.0/hello.partial/releases/0.2.0/env.sh",
            "$ mv -T -f ~/deployments/hello/releases/0.2.0/hello.partial ~/deployments/hello/releases/0.2.0/hello",
        ]
    );
}

#[test]
fn the_init_script_is_called_the_way_service_calls_it() {
    let mut facts = facts();
    facts.server.init_script = Some(facts.script_template.clone());
    let upgrade = service::upgrade(&facts).expect("it can be planned");
    assert_eq!(
        texts(Ok(upgrade.clone()), &facts)[..3],
        [
            "sync ~/deployments/hello/releases/0.2.0 to the disk",
            "write ~/deployments/hello/names",
            "$ ~/init.d/hello upgrade 0.2.0"
        ]
    );
    let command = upgrade[2].commands()[0];
    assert_eq!(command.environment, Environment::only(["LANG", "PATH", "TERM"]));
    assert_eq!(command.dir, PathBuf::from("/"));
    assert!(command.outlives_gatling, "a kill between stop and start must not leave nothing running");

    facts.paths.roots.etc_dir = "/etc/init.d".into();
    facts.server.sudo = true;
    assert_eq!(texts(service::upgrade(&facts), &facts)[2], "$ /etc/init.d/hello upgrade 0.2.0", "this needs no root");
}

/// How an init script is replaced, whole or not at all.
const REPLACE_SCRIPT: [&str; 6] = [
    "write ~/deployments/hello/init-script",
    "$ install -D -m 755 ~/deployments/hello/init-script ~/init.d/.hello.gatling-new",
    "sync ~/init.d/.hello.gatling-new to the disk",
    "$ ln -fT ~/init.d/.hello.gatling-new ~/init.d/hello",
    "$ rm -f ~/init.d/.hello.gatling-new",
    "sync ~/init.d to the disk",
];

#[test]
fn an_init_script_in_etc_is_also_enabled_for_boot() {
    let mut facts = facts();
    assert_eq!(texts(install::install_init_script(&facts), &facts), REPLACE_SCRIPT);
    facts.paths.roots.etc_dir = "/etc/init.d".into();
    facts.etc_path = "/nowhere/hello".into();
    assert_eq!(texts(install::install_init_script(&facts), &facts)[6], "$ update-rc.d hello defaults");
}

#[test]
fn an_upgrade_reinstalls_an_init_script_that_is_missing_or_outdated() {
    let mut facts = facts();
    let shown = texts(service::upgrade(&facts), &facts);
    assert_eq!(shown[..6], REPLACE_SCRIPT);
    assert_eq!(shown[8], "$ ~/init.d/hello upgrade 0.2.0");
    facts.server.init_script = Some(facts.script_template.clone());
    facts.server.is_not_enabled = true;
    assert_eq!(texts(service::upgrade(&facts), &facts)[0], "$ update-rc.d hello defaults");
    facts.server.is_not_enabled = false;
    let older = format!("#!/bin/sh\n# {}\n", templates::marker(&facts.paths.name));
    facts.server.init_script = Some(older);
    assert_eq!(texts(service::upgrade(&facts), &facts), shown);
    facts.server.init_script = Some("#!/bin/sh\n# the operator's own\n".to_owned());
    assert_eq!(texts(service::upgrade(&facts), &facts)[2], "$ ~/init.d/hello upgrade 0.2.0", "it must not be replaced");
}

#[test]
fn the_app_gets_the_first_domain_that_is_not_a_wildcard_as_its_host_name() {
    let mut facts = facts();
    facts.domains = ["*.example.com", ".example.org", "www.example.com"].map(str::to_owned).to_vec();
    let actions = release::make_upgrade_dir(&facts).expect("it can be planned");
    let Some(Action::WriteFile { path, contents, mode }) = actions.last() else { panic!("{actions:?}") };
    assert!(path.ends_with(".env") && *mode == 0o600, "{}", path.display());
    assert!(contents.contains("PHX_HOST='www.example.com'"), "{contents}");
}

#[test]
fn the_node_has_a_name_of_the_kind_that_the_project_wants() {
    for (own, slot, node) in [
        ("RELEASE_DISTRIBUTION=name\n", Slot::Blue, "shop@127.0.0.1"),
        ("RELEASE_DISTRIBUTION=sname\n", Slot::Green, "shop-green@localhost"),
        ("RELEASE_DISTRIBUTION=sname\nRELEASE_NODE=a\n", Slot::Green, "a-green"),
    ] {
        let variables: Variables = Dotenv::parse(own).expect("it is valid").iter().collect();
        let environment =
            release::release_environment("shop", "localhost", slot, 4000, &variables).expect("it is valid");
        assert_eq!(environment.get("RELEASE_NODE"), Some(node));
    }
}

#[test]
fn an_init_script_that_gatling_did_not_write_is_not_changed() {
    let mut facts = facts();
    facts.server.init_script = Some("#!/bin/sh\n# ssh\n".to_owned());
    let error = install::install_init_script(&facts).expect_err("it is not Gatling's").to_string();
    assert!(error.contains("does not belong to this project"), "{error}");
    assert_eq!(texts(install::remove_init_script(&facts), &facts).len(), 1, "nor is it removed");
}

#[test]
fn nginx_tests_the_configuration_before_it_is_reloaded() {
    let mut facts = facts();
    assert_eq!(
        texts(nginx::configure(&facts), &facts),
        [
            "$ install -D -m 644 ~/deployments/hello/nginx-site ~/nginx/sites-available/.hello.gatling-new",
            "$ ln -fT ~/nginx/sites-available/.hello.gatling-new ~/nginx/sites-available/hello",
            "$ rm -f ~/nginx/sites-available/.hello.gatling-new",
            "$ ln -sT ~/nginx/sites-available/hello ~/nginx/sites-enabled/hello",
            "$ nginx -c ~/nginx/nginx.conf -t",
            "$ nginx -c ~/nginx/nginx.conf -s reload",
            "check that nginx serves www.example.com at 127.0.0.1:80",
            "visit / at www.example.com through nginx",
        ]
    );
    facts.paths.roots.nginx_dir = "/etc/nginx".into();
    assert_eq!(
        texts(nginx::configure(&facts), &facts)[4..],
        [
            "$ nginx -t",
            "$ nginx -s reload",
            "check that nginx serves www.example.com at 127.0.0.1:80",
            "visit / at www.example.com through nginx"
        ]
    );
}

#[test]
fn the_site_is_checked_at_an_address_without_tls() {
    let mut facts = facts();
    for (listen, asked) in [
        (&["443 ssl", "80"][..], "127.0.0.1:80"),
        (&["127.0.0.1:8080"], "127.0.0.1:8080"),
        (&["*:8080 default_server"], "127.0.0.1:8080"),
        (&["[::]:80"], "[::1]:80"),
        (&["192.0.2.1"], "192.0.2.1:80"),
    ] {
        facts.operator.nginx.listen = listen.iter().map(|address| (*address).to_owned()).collect();
        render_site(&mut facts);
        let shown = texts(nginx::configure(&facts), &facts);
        let check = format!("check that nginx serves www.example.com at {asked}");
        assert!(shown.contains(&check), "{check} is not in {shown:?}");
    }
    facts.nginx_template = "server {}".to_owned();
    facts.site = Site::new(&facts.nginx_template, &facts.domains, None);
    assert!(
        !texts(nginx::configure(&facts), &facts).concat().contains("check that"),
        "a project's own site cannot be checked"
    );
}

#[test]
fn an_unchanged_site_needs_no_action_and_a_foreign_site_is_an_error() {
    let mut facts = facts();
    facts.server.site = InstalledSite { text: Some(facts.nginx_template.clone()), link: Link::Correct };
    assert!(texts(nginx::configure(&facts), &facts)[0].starts_with("nothing to do"));
    facts.server.site.link = Link::Other;
    let error = nginx::configure(&facts).expect_err("it is not Gatling's").to_string();
    assert!(error.contains("is not gatling's symlink"), "{error}");
    facts.server.site.text = Some("server {}".to_owned());
    let error = nginx::configure(&facts).expect_err("it is not Gatling's").to_string();
    assert!(error.contains("did not write it"), "{error}");
}

#[test]
fn unload_works_without_a_deploy_dir() {
    let mut facts = facts();
    facts.server.init_script = Some(facts.script_template.clone());
    let shown = ["$ ~/init.d/hello stop", "stop epmd if no other app needs it"];
    assert_eq!(texts(service::stop(&facts), &facts), shown);
    facts.server.has_deploy_dir = false;
    assert_eq!(texts(service::stop(&facts), &facts), ["nothing to do: ~/deployments/hello does not exist"]);
}

#[test]
fn unload_removes_both_folders_of_the_project_and_nothing_else() {
    let facts = facts();
    assert_eq!(texts(removal::deploy_dir(&facts), &facts), ["remove ~/deployments/hello"]);
    assert_eq!(texts(removal::build_dir(&facts), &facts), ["remove ~/hello"]);
}

#[test]
fn incomplete_releases_of_failed_runs_are_removed_before_a_new_one_is_made() {
    let mut facts = facts();
    let below = |name: &str| facts.paths.releases_dir().join(name);
    facts.server.incomplete_releases = vec![below("0.1.1"), below("0.2.0")];
    let shown = texts(release::make_upgrade_dir(&facts), &facts);
    let expected = ["remove ~/deployments/hello/releases/0.1.1", "remove ~/deployments/hello/releases/0.2.0"];
    assert_eq!(shown[..2], expected);
}

#[test]
fn a_plan_depends_only_on_facts_and_names_the_step_that_cannot_be_carried_out() {
    let mut facts = facts();
    let plan = Plan::new(&facts, &[]);
    assert_eq!(Plan::new(&facts, &[]), plan, "the plan depends only on the facts");
    plan.check().expect("every step can be carried out");
    facts.server.site.text = Some("server {}".to_owned());
    let error = format!("{:#}", Plan::new(&facts, &[]).check().expect_err("the site is not Gatling's"));
    assert!(error.starts_with("the step upgrade_service: ") && error.contains("did not write it"), "{error}");
}

/// Units that are not installed yet.
fn units(facts: &Facts) -> Units {
    let unit = |path: PathBuf| UnitFile { path, wanted: "[Unit]\n".to_owned(), ..UnitFile::default() };
    let files = facts.paths.unit_files().expect("services are installed for the system").map(unit);
    Units { files, boot_path: facts.paths.unit_boot_link(), ..Units::default() }
}

/// Facts for a project that is deployed to the whole system, by a user who is not root.
fn system_facts() -> Facts {
    let mut facts = facts();
    let roots = &mut facts.paths.roots;
    (roots.etc_dir, roots.nginx_dir) = ("/etc/init.d".into(), "/etc/nginx".into());
    (roots.logrotate_dir, roots.lib_dir) = (Some("/etc/logrotate.d".into()), Some("/var/lib/gatling".into()));
    let paths = facts.paths.clone();
    (facts.etc_dir, facts.etc_path) = (paths.roots.etc_dir.clone(), paths.init_script());
    (facts.nginx_dir, facts.nginx_available_path) = (paths.roots.nginx_dir.clone(), paths.nginx_available());
    facts.nginx_enabled_path = paths.nginx_enabled();
    let logrotate = Logrotate {
        path: paths.logrotate_file().expect("logrotate is used"),
        is_installed: true,
        wanted: "weekly".to_owned(),
        ..Logrotate::default()
    };
    facts.server = ServerFacts { sudo: true, ids: (1001, 1002), logrotate: Some(logrotate), ..facts.server };
    facts
}

#[test]
fn units_are_checked_and_installed_once_and_removed_before_the_script() {
    let mut facts = system_facts();
    facts.server.has_systemd = true;
    facts.server.init_script = Some(facts.script_template.clone());
    facts.server.units = Some(units(&facts));
    let shown = texts(install::renew_service(&facts), &facts);
    let check =
        "check with systemd-analyze: ~/deployments/hello/units/hello.service ~/deployments/hello/units/hello@.service";
    assert_eq!(shown[3], check, "{shown:#?}");
    let last = [
        "$ sudo -n systemctl daemon-reload",
        "$ sudo -n install -d -m 755 /etc/systemd/system/multi-user.target.wants",
        "$ sudo -n ln -sT /etc/systemd/system/hello.service /etc/systemd/system/multi-user.target.wants/hello.service",
    ];
    assert_eq!(shown[shown.len() - 3..], last, "{shown:#?}");
    assert!(!shown.concat().contains("update-rc.d"), "systemd reads its own units");

    let installed = facts.server.units.as_mut().expect("there are units");
    installed.boot_link = Link::Correct;
    installed.files.iter_mut().for_each(|unit| unit.text = Some(unit.wanted.clone()));
    assert!(texts(install::renew_service(&facts), &facts).is_empty());
    facts.server.units.as_mut().expect("there are units").needs_reload = true;
    let shown = texts(install::renew_service(&facts), &facts);
    assert_eq!(shown.last().expect("an action"), "$ sudo -n systemctl daemon-reload");

    let removed = texts(install::remove_init_script(&facts), &facts);
    let script = removed.iter().position(|shown| shown == "$ sudo -n rm -f /etc/init.d/hello").expect("it is removed");
    assert!(removed[..script].concat().contains("/etc/systemd/system/hello@.service"), "{removed:#?}");

    facts.server.units.as_mut().expect("there are units").foreign = Some("/lib/systemd/system/hello.service".into());
    let error = install::renew_service(&facts).expect_err("it is not Gatling's").to_string();
    assert!(error.contains("which gatling did not write"), "{error}");
}

#[test]
fn root_runs_only_what_the_rule_for_sudo_allows() {
    let rule = crate::root::commands(&facts_with(|_| {}).paths, (1001, 1002));
    let mut seen = 0;
    let variants: [fn(&mut Facts); 7] = [
        |_| {},
        |facts| (facts.server.has_systemd, facts.server.must_tell_systemd) = (true, true),
        |facts| {
            facts.server.has_systemd = true;
            facts.server.units = Some(units(facts));
        },
        |facts| facts.strategy = "blue-green",
        |facts| facts.server.has_lib_dir = true,
        |facts| facts.server.drafts = vec![crate::draft(&facts.paths.init_script())],
        |facts| {
            facts.server.init_script = Some(facts.script_template.clone());
            facts.server.logrotate.as_mut().expect("logrotate is used").text = Some(String::new());
            facts.server.site = InstalledSite { text: Some(facts.nginx_template.clone()), link: Link::Correct };
        },
    ];
    for variant in variants {
        for pipeline in [Pipeline::Deploy, Pipeline::Upgrade, Pipeline::Unload] {
            let mut facts = facts_with(variant);
            facts.pipeline = pipeline;
            if pipeline == Pipeline::Deploy {
                facts.previous_version = None;
            }
            let plan = Plan::new(&facts, &[]);
            plan.check().expect("every step can be carried out");
            let actions = plan.steps.iter().flat_map(|step| &step.actions);
            for command in actions.flat_map(Action::commands).filter(|command| command.program == "sudo") {
                assert!(rule.iter().any(|allowed| *allowed == command.args[1..]), "not in the rule: {command}");
                seen += 1;
            }
        }
    }
    assert!(seen > 100, "{seen}");
}

fn facts_with(variant: fn(&mut Facts)) -> Facts {
    let mut facts = system_facts();
    variant(&mut facts);
    facts
}
