//! Inspects components that are built from WIT text.

use super::*;
use crate::contract::WIT;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

/// A component with the exports and imports of a world. All of its functions trap. `contract` is the text of the
/// contract that it is built against.
pub(crate) fn component(world: &str, contract: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    resolve.push_str("hooks.wit", contract).expect("the contract is well-formed");
    let package = resolve
        .push_str("mine.wit", &format!("package my:hooks;\nworld mine {{ {world} }}"))
        .expect("the world is well-formed");
    let world = resolve.select_world(&[package], None).expect("there is one");
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8).expect("it can be embedded");
    ComponentEncoder::default().module(&module).expect("it is a module").encode().expect("it is a component")
}

/// The start of a world whose hooks take the contract's env.
pub(crate) const USE: &str = "use gatling:hooks/types@1.2.0.{env}; include gatling:hooks/imports@1.2.0;";

pub(crate) const UPGRADE: Name = Name::literal("upgrade");
const DEPLOY: Name = Name::literal("deploy");

/// The hooks of two pipelines that share a step.
pub(crate) fn known() -> Vec<Hook> {
    let steps = |names: &[&'static str]| names.iter().map(|name| Name::literal(name)).collect::<Vec<_>>();
    let deploy = steps(&["mix_deps_get", "mix_compile", "start_service", "configure_nginx"]);
    let upgrade = steps(&["mix_deps_get", "mix_compile", "upgrade_service", "configure_nginx"]);
    Hook::of_pipeline(&DEPLOY, deploy).chain(Hook::of_pipeline(&UPGRADE, upgrade)).collect()
}

/// Inspects the bytes of a hooks file of the pipeline `upgrade`.
pub(crate) fn inspect(bytes: &[u8]) -> Result<Inspection, String> {
    Inspection::of(bytes, &UPGRADE, &known())
}

fn inspect_exports(exports: &str, pipeline: &Name) -> Inspection {
    Inspection::of(&component(&format!("{USE} {exports}"), WIT), pipeline, &known()).expect("it is a component")
}

fn versioned(version: &str) -> Inspection {
    let contract = WIT.replace("gatling:hooks@1.2.0", &format!("gatling:hooks@{version}"));
    let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.2.0", &format!("@{version}"));
    inspect(&component(&world, &contract)).expect("it is a component")
}

#[test]
fn hooks_are_listed_in_pipeline_order_with_their_steps() {
    let inspection = inspect_exports(
        "export after-configure-nginx: func(env: env); export before-mix-deps-get: func(env: env) -> result<_, string>;",
        &UPGRADE,
    );
    let hooks: Vec<_> =
        inspection.hooks.iter().map(|hook| (hook.name.as_str(), hook.step.as_deref(), hook.status)).collect();
    let expected = [
        ("before_mix_deps_get", Some("mix_deps_get"), Status::Ok),
        ("after_configure_nginx", Some("configure_nginx"), Status::Ok),
    ];
    assert_eq!(hooks, expected);
    assert_eq!(inspection.problems, [""; 0]);
    assert_eq!(inspection.contract.as_deref(), Some("1.2.0"));
    assert_eq!(inspection.callable().map(|(_, fallible)| fallible).collect::<Vec<_>>(), [true, false]);
}

#[test]
fn a_misspelled_hook_is_a_problem_with_a_suggestion_but_not_fatal() {
    let inspection = inspect_exports("export before-mix-compil: func(env: env);", &UPGRADE);
    assert_eq!(inspection.hooks[0].status, Status::Unknown);
    assert!(inspection.problems[0].contains("before_mix_compile"), "{:?}", inspection.problems);
    assert_eq!(inspection.fatal_problem(), None);
}

#[test]
fn other_exports_of_toolchains_are_ignored() {
    let inspection = inspect_exports("export init: func(); export exports: interface { f: func(); }", &UPGRADE);
    assert!(inspection.hooks.is_empty() && inspection.problems.is_empty(), "{inspection:?}");
}

#[test]
fn a_hook_of_the_wrong_type_is_fatal_and_the_problem_names_the_right_type() {
    for (export, reason) in [
        ("export before-mix-compile: func();", "it has 0 parameters instead of 1"),
        ("export before-mix-compile: func(env: string);", "env does not have the type that it has in the contract"),
        ("export before-mix-compile: func(env: env) -> string;", "its result is not `result<_, string>`"),
        (
            "export before-mix-compile: func(env: env) -> result<string, string>;",
            "its result is not `result<_, string>`",
        ),
        (
            "record env2 { available-port: u16 } export before-mix-compile: func(env: env2);",
            "env has 1 fields instead of 28",
        ),
    ] {
        let inspection = inspect_exports(export, &UPGRADE);
        assert_eq!(inspection.hooks[0].status, Status::WrongType, "{export}");
        let problem = inspection.fatal_problem().expect(export);
        assert!(problem.contains(reason) && problem.contains("func(env: env) -> result<_, string>"), "{problem}");
    }
}

const USE_FAILURE: &str = "use gatling:hooks/failures@1.2.0.{failure};";

#[test]
fn on_failure_takes_a_failure_and_is_listed_last() {
    for (result, fallible) in [(" -> result<_, string>", true), ("", false)] {
        let inspection = inspect_exports(
            &format!(
                "{USE_FAILURE} export on-failure: func(env: env, failure: failure){result}; \
                 export after-configure-nginx: func(env: env);"
            ),
            &UPGRADE,
        );
        let hooks: Vec<_> = inspection.hooks.iter().map(|hook| (hook.name.as_str(), hook.place.as_deref())).collect();
        let expected = [
            ("after_configure_nginx", Some("upgrade: after configure_nginx")),
            ("on_failure", Some("upgrade: when the run fails")),
        ];
        assert_eq!(hooks, expected);
        assert_eq!(inspection.problems, [""; 0]);
        assert_eq!(inspection.callable().last().map(|(_, fallible)| fallible), Some(fallible));
        let report = &inspection.hooks[1];
        assert_eq!((report.pipeline.as_ref(), report.step.as_ref(), report.phase), (Some(&UPGRADE), None, None));
    }
}

#[test]
fn for_on_failure_with_the_wrong_type_the_problem_names_the_right_type() {
    for (export, reason) in [
        ("export on-failure: func();", "it has 0 parameters instead of 2"),
        ("export on-failure: func(env: env);", "it has 1 parameters instead of 2"),
        (
            "export on-failure: func(env: env, failure: string);",
            "failure does not have the type that it has in the contract",
        ),
        (
            "use gatling:hooks/deployment@1.2.0.{failure}; export on-failure: func(env: env, failure: failure);",
            "failure.step does not have the type that it has in the contract",
        ),
        (
            "use gatling:hooks/failures@1.2.0.{failure}; export on-failure: func(failure: failure, env: env);",
            "env has the field step where the contract has available-port",
        ),
        (
            "use gatling:hooks/failures@1.2.0.{failure}; export on-failure: func(env: env, failure: failure) -> bool;",
            "its result is not `result<_, string>`",
        ),
    ] {
        let inspection = inspect_exports(export, &UPGRADE);
        assert_eq!(inspection.hooks[0].status, Status::WrongType, "{export}");
        let problem = inspection.fatal_problem().expect(export);
        let right = "func(env: env, failure: failure) -> result<_, string>";
        assert!(problem.contains(reason) && problem.contains(right), "{problem}");
        assert!(problem.contains("the failure of gatling:hooks/failures@1.2.0"), "{problem}");
    }
    let inspection = inspect_exports(
        "use gatling:hooks/failures@1.2.0.{failure}; export before-mix-compile: func(env: env, failure: failure);",
        &UPGRADE,
    );
    let problem = inspection.fatal_problem().expect("only on_failure takes a failure");
    assert!(problem.contains("it has 2 parameters instead of 1"), "{problem}");
}

#[test]
fn on_failure_is_suggested_for_similar_names() {
    for export in ["on-failur", "on-fail", "on-failed"] {
        let inspection = inspect_exports(&format!("export {export}: func();"), &DEPLOY);
        assert_eq!(inspection.hooks[0].status, Status::Unknown);
        assert!(inspection.problems[0].contains("did you mean on_failure?"), "{:?}", inspection.problems);
    }
}

#[test]
fn in_an_older_component_on_failure_is_only_called_if_it_has_the_type_of_the_hook() {
    let older = |exports: &str| {
        let world = format!("{USE} export before-mix-compile: func(env: env); {exports}").replace("@1.2.0", "@1.1.0");
        let contract = WIT.replace("@1.2.0", "@1.1.0");
        inspect(&component(&world, &contract)).expect("it is a component")
    };
    let inspection = older("export on-failure: func(code: u32) -> u32;");
    assert_eq!(inspection.fatal_problem(), None, "it worked with the contract 1.1.0");
    let [problem] = &inspection.problems[..] else { panic!("{:?}", inspection.problems) };
    assert!(problem.contains("since gatling:hooks@1.2.0") && problem.contains("never called"), "{problem}");
    assert_eq!(inspection.callable().count(), 1);

    let record = "record failure { step: option<string>, hook: option<string>, message: string, cancelled: bool, \
                  traffic-moved: bool, serving: option<string> }";
    let inspection = older(&format!("{record} export on-failure: func(env: env, failure: failure);"));
    assert_eq!((inspection.problems.len(), inspection.callable().count()), (0, 2));
}

#[test]
fn a_hook_of_another_pipeline_is_valid_and_its_report_says_that_it_is_not_called() {
    let inspection = inspect_exports("export before-start-service: func(env: env);", &UPGRADE);
    assert_eq!((inspection.hooks[0].pipeline.as_ref(), inspection.hooks[0].status), (Some(&DEPLOY), Status::Ok));
    assert!(inspection.hooks[0].message.contains("not called from a hooks file of upgrade"), "{:?}", inspection.hooks);
    assert!(inspection.problems.is_empty());
}

#[test]
fn an_unsupported_version_of_the_contract_is_refused_and_both_versions_are_named() {
    for version in ["2.0.0", "1.3.0", "0.9.0"] {
        let inspection = versioned(version);
        let problem = inspection.fatal_problem().expect(version);
        assert!(problem.contains(version) && problem.contains(&contract_version()), "{problem}");
    }
    assert_eq!(versioned("1.0.7").fatal_problem(), None, "a patch version changes no types");
}

#[test]
fn an_import_of_the_contract_without_a_version_is_refused() {
    let contract = WIT.replace("gatling:hooks@1.2.0", "gatling:hooks");
    let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.2.0", "");
    let inspection = inspect(&component(&world, &contract)).expect("it is a component");
    assert!(inspection.fatal_problem().expect("it names none").contains("without a version"), "{inspection:?}");
}

#[test]
fn imports_that_gatling_does_not_provide_are_named() {
    let contract = WIT.replace("run-id: func() -> string;", "run-id: func() -> string; mood: func() -> string;");
    let bytes = component(&format!("{USE} export before-mix-compile: func(env: env);"), &contract);
    let inspection = inspect(&bytes).expect("it is a component");
    assert!(inspection.fatal_problem().expect("there is no mood").contains("mood"), "{inspection:?}");

    for name in [
        "wasi:clocks/timezone@0.2.3",
        "wasi:http/incoming-handler@0.2.0",
        "wasi:cli/stdout@0.3.0",
        "wasi:nn/graph@0.2.0",
    ] {
        let bytes = wat::parse_str(format!("(component (import \"{name}\" (instance)))")).expect("it is a component");
        let inspection = inspect(&bytes).expect("it is a component");
        assert!(inspection.fatal_problem().is_some_and(|problem| problem.contains(name)), "{inspection:?}");
    }
    let inspection = inspect_exports("import dance: func();", &UPGRADE);
    assert!(inspection.fatal_problem().expect("there is no dance").contains("dance"), "{inspection:?}");
}

#[test]
fn the_error_says_what_a_file_is_that_is_not_a_component() {
    let component = component(USE, WIT);
    let cases: [(&[u8], &str); 6] = [
        (b"", "empty"),
        (b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (b"\0asm", "truncated"),
        (b"rubbish", "not a WebAssembly file"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (&component[..component.len() / 2], "damaged"),
    ];
    for (bytes, expected) in cases {
        let problem = inspect(bytes).expect_err(expected);
        assert!(problem.contains(expected), "{problem}");
    }
}
