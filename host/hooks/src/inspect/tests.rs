//! Components made from WIT text, looked into.

use super::*;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::ManglingAndAbi;

/// A component with the exports and imports of a world, whose functions all trap. `contract`
/// is the text of the contract that it is built against.
pub(crate) fn built(world: &str, contract: &str) -> Vec<u8> {
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

/// What a world begins with whose hooks take the contract's env.
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

/// A look into the bytes of a hooks file of the pipeline `upgrade`.
pub(crate) fn look(bytes: &[u8]) -> Result<Inspection, String> {
    Inspection::of(bytes, &UPGRADE, &known())
}

fn of(exports: &str, pipeline: &Name) -> Inspection {
    Inspection::of(&built(&format!("{USE} {exports}"), WIT), pipeline, &known()).expect("it is a component")
}

fn versioned(version: &str) -> Inspection {
    let contract = WIT.replace("gatling:hooks@1.2.0", &format!("gatling:hooks@{version}"));
    let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.2.0", &format!("@{version}"));
    look(&built(&world, &contract)).expect("it is a component")
}

#[test]
fn hooks_are_listed_in_pipeline_order_with_their_places() {
    let inspection = of(
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
fn a_misspelt_hook_is_named_with_the_nearest_but_stops_nothing() {
    let inspection = of("export before-mix-compil: func(env: env);", &UPGRADE);
    assert_eq!(inspection.hooks[0].status, Status::Unknown);
    assert!(inspection.problems[0].contains("before_mix_compile"), "{:?}", inspection.problems);
    assert_eq!(inspection.fatal_problem(), None);
}

#[test]
fn what_toolchains_export_beside_hooks_is_ignored() {
    let inspection = of("export init: func(); export exports: interface { f: func(); }", &UPGRADE);
    assert!(inspection.hooks.is_empty() && inspection.problems.is_empty(), "{inspection:?}");
}

#[test]
fn a_hook_of_the_wrong_type_stops_the_run_and_is_told_the_right_one() {
    for (export, reason) in [
        ("export before-mix-compile: func();", "takes 0 parameters"),
        ("export before-mix-compile: func(env: string);", "env is not as in the contract"),
        ("export before-mix-compile: func(env: env) -> string;", "returns something else"),
        ("export before-mix-compile: func(env: env) -> result<string, string>;", "returns something else"),
        ("record env2 { available-port: u16 } export before-mix-compile: func(env: env2);", "env has 1 fields"),
    ] {
        let inspection = of(export, &UPGRADE);
        assert_eq!(inspection.hooks[0].status, Status::WrongType, "{export}");
        let problem = inspection.fatal_problem().expect(export);
        assert!(problem.contains(reason) && problem.contains("func(env: env) -> result<_, string>"), "{problem}");
    }
}

const USE_FAILURE: &str = "use gatling:hooks/failures@1.2.0.{failure};";

#[test]
fn the_hook_for_a_failure_takes_one_and_is_listed_last() {
    for (result, fallible) in [(" -> result<_, string>", true), ("", false)] {
        let inspection = of(
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
fn a_hook_for_a_failure_of_the_wrong_type_is_told_the_right_one() {
    for (export, reason) in [
        ("export on-failure: func();", "takes 0 parameters"),
        ("export on-failure: func(env: env);", "takes 1 parameters"),
        ("export on-failure: func(env: env, failure: string);", "failure is not as in the contract"),
        (
            "use gatling:hooks/deployment@1.2.0.{failure}; export on-failure: func(env: env, failure: failure);",
            "failure.step is not as in the contract",
        ),
        (
            "use gatling:hooks/failures@1.2.0.{failure}; export on-failure: func(failure: failure, env: env);",
            "env has step where the contract has available-port",
        ),
        (
            "use gatling:hooks/failures@1.2.0.{failure}; export on-failure: func(env: env, failure: failure) -> bool;",
            "returns something else",
        ),
    ] {
        let inspection = of(export, &UPGRADE);
        assert_eq!(inspection.hooks[0].status, Status::WrongType, "{export}");
        let problem = inspection.fatal_problem().expect(export);
        let right = "func(env: env, failure: failure) -> result<_, string>";
        assert!(problem.contains(reason) && problem.contains(right), "{problem}");
        assert!(problem.contains("the failure of gatling:hooks/failures@1.2.0"), "{problem}");
    }
    let inspection = of(
        "use gatling:hooks/failures@1.2.0.{failure}; export before-mix-compile: func(env: env, failure: failure);",
        &UPGRADE,
    );
    assert!(inspection.fatal_problem().expect("it is no hook for a failure").contains("it takes 2 parameters"));
}

#[test]
fn a_misspelt_hook_for_a_failure_is_named_with_the_right_name() {
    for export in ["on-failur", "on-fail", "on-failed"] {
        let inspection = of(&format!("export {export}: func();"), &DEPLOY);
        assert_eq!(inspection.hooks[0].status, Status::Unknown);
        assert!(inspection.problems[0].contains("did you mean on_failure?"), "{:?}", inspection.problems);
    }
}

#[test]
fn what_an_older_component_calls_on_failure_stays_its_own_unless_it_is_the_hook() {
    let older = |exports: &str| {
        let world = format!("{USE} export before-mix-compile: func(env: env); {exports}").replace("@1.2.0", "@1.1.0");
        let contract = WIT.replace("@1.2.0", "@1.1.0");
        look(&built(&world, &contract)).expect("it is a component")
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
fn a_hook_of_another_pipeline_is_fine_and_said_not_to_be_called() {
    let inspection = of("export before-start-service: func(env: env);", &UPGRADE);
    assert_eq!((inspection.hooks[0].pipeline.as_ref(), inspection.hooks[0].status), (Some(&DEPLOY), Status::Ok));
    assert!(inspection.hooks[0].message.contains("not called from a hooks file of upgrade"), "{:?}", inspection.hooks);
    assert!(inspection.problems.is_empty());
}

#[test]
fn another_version_of_the_contract_is_refused_with_both_versions() {
    for version in ["2.0.0", "1.3.0", "0.9.0"] {
        let inspection = versioned(version);
        let problem = inspection.fatal_problem().expect(version);
        assert!(problem.contains(version) && problem.contains(&contract_version()), "{problem}");
    }
    assert_eq!(versioned("1.0.7").fatal_problem(), None, "a patch changes no types");
}

#[test]
fn a_component_without_a_version_of_the_contract_is_told_to_name_one() {
    let contract = WIT.replace("gatling:hooks@1.2.0", "gatling:hooks");
    let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.2.0", "");
    let inspection = look(&built(&world, &contract)).expect("it is a component");
    assert!(inspection.fatal_problem().expect("it names none").contains("without a version"), "{inspection:?}");
}

#[test]
fn imports_that_gatling_does_not_have_are_named() {
    let contract = WIT.replace("run-id: func() -> string;", "run-id: func() -> string; mood: func() -> string;");
    let bytes = built(&format!("{USE} export before-mix-compile: func(env: env);"), &contract);
    let inspection = look(&bytes).expect("it is a component");
    assert!(inspection.fatal_problem().expect("there is no mood").contains("mood"), "{inspection:?}");

    for name in [
        "wasi:clocks/timezone@0.2.3",
        "wasi:http/incoming-handler@0.2.0",
        "wasi:cli/stdout@0.3.0",
        "wasi:nn/graph@0.2.0",
    ] {
        let bytes = wat::parse_str(format!("(component (import \"{name}\" (instance)))")).expect("it is a component");
        let inspection = look(&bytes).expect("it is a component");
        assert!(inspection.fatal_problem().is_some_and(|problem| problem.contains(name)), "{inspection:?}");
    }
    let inspection = of("import dance: func();", &UPGRADE);
    assert!(inspection.fatal_problem().expect("there is no dance").contains("dance"), "{inspection:?}");
}

#[test]
fn what_is_no_component_is_told_what_it_is() {
    let component = built(USE, WIT);
    let cases: [(&[u8], &str); 6] = [
        (b"", "empty"),
        (b"\0asm\x01\0\0\0", "core WebAssembly module"),
        (b"\0asm", "cut off"),
        (b"rubbish", "no WebAssembly"),
        (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
        (&component[..component.len() / 2], "damaged"),
    ];
    for (bytes, words) in cases {
        let problem = look(bytes).expect_err(words);
        assert!(problem.contains(words), "{problem}");
    }
}
