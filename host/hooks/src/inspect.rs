//! A look into a component, without compiling it: what it exports, what it needs, and whether
//! that fits the contract.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Serialize;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentFuncType, ComponentInstanceTypeId, ComponentItem,
};
use wasmparser::names::{ComponentName, ComponentNameKind, InterfaceName};
use wasmparser::types::TypesRef;
use wit_parser::{PackageName, Resolve, Type};

use crate::contract::WIT;
use crate::interface::ComponentInterface;
use crate::types::{Comparison, is_plain_result};
use gatling_names::{Hook, HookPoint, Name};

/// The contract's package, without its version.
const NAMESPACE: &str = "gatling";
const PACKAGE: &str = "hooks";
/// The interfaces of WASI 0.2 that hooks get.
const LINKED: [(&str, &[&str]); 7] = [
    (
        "cli",
        &[
            "environment",
            "exit",
            "stderr",
            "stdin",
            "stdout",
            "terminal-input",
            "terminal-output",
            "terminal-stderr",
            "terminal-stdin",
            "terminal-stdout",
        ],
    ),
    ("clocks", &["monotonic-clock", "wall-clock"]),
    ("filesystem", &["preopens", "types"]),
    ("http", &["outgoing-handler", "types"]),
    ("io", &["error", "poll", "streams"]),
    ("random", &["insecure", "insecure-seed", "random"]),
    (
        "sockets",
        &["instance-network", "ip-name-lookup", "network", "tcp", "tcp-create-socket", "udp", "udp-create-socket"],
    ),
];
/// The minor version of the contract that has the hook for a failure first.
const ON_FAILURE_SINCE: u64 = 2;
/// Names further from every hook than this many typing errors are somebody's own.
const LIKENESS: usize = 3;
/// More problems than this help nobody.
const MOST_PROBLEMS: usize = 100;
/// Of how many exports that are no hooks it is guessed whether they were meant for one.
const MOST_GUESSES: usize = 1000;
/// Names longer than this, in bytes, are cut where people read them.
const LONGEST_NAME: usize = 200;

/// What a component shows of itself.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspection {
    /// The version of the contract that it was built against; none where it uses none of it.
    pub contract: Option<String>,
    /// What looks like a hook, in pipeline order; what is none comes last.
    pub hooks: Vec<HookReport>,
    /// What it imports, sorted.
    pub imports: Vec<String>,
    /// What is wrong with it.
    pub problems: Vec<String>,
    /// Problems that no call gets past.
    #[serde(skip)]
    fatal: Vec<String>,
    /// The minor version of the contract that it was built against, if it is one that this Gatling keeps.
    #[serde(skip)]
    minor: Option<u64>,
}

/// One export that is a hook, or looks like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// Its name as people write it: `before_mix_compile`.
    pub name: String,
    /// The pipeline it belongs to.
    #[serde(rename = "task")]
    pub pipeline: Option<Name>,
    /// The step it belongs to.
    pub step: Option<Name>,
    /// On which side of the step it is called: `before` or `after`.
    pub phase: Option<&'static str>,
    /// Whether it can be called.
    pub status: Status,
    /// What there is to say about it.
    pub message: String,
    #[serde(skip)]
    fallible: bool,
    /// Where it is called, for people; none if it is not a hook.
    #[serde(skip)]
    pub place: Option<String>,
}

/// Whether an export can be called as a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It can.
    Ok,
    /// Its name is a hook's and its type isn't.
    WrongType,
    /// Its name looks like a hook's and is none.
    Unknown,
}

impl Status {
    /// The status's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::WrongType => "wrong-type",
            Self::Unknown => "unknown",
        }
    }
}

/// The contract as this Gatling has it.
struct Contract {
    resolve: Resolve,
    package: PackageName,
    env: Type,
    failure: Type,
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let id = resolve.push_str("hooks.wit", WIT).expect("the contract is well-formed: a test reads it");
    let package = resolve.packages[id].name.clone();
    let record = |interface: &str, name: &str| {
        let interface = resolve.packages[id].interfaces[interface];
        Type::Id(resolve.interfaces[interface].types[name])
    };
    let (env, failure) = (record("types", "env"), record("failures", "failure"));
    Contract { resolve, package, env, failure }
});

/// The contract's version.
#[must_use]
pub fn contract_version() -> String {
    CONTRACT.package.version.as_ref().map(ToString::to_string).unwrap_or_default()
}

impl Inspection {
    /// Looks into the bytes of a hooks file of a pipeline. `known` are the hooks that the program calls, of all
    /// its pipelines.
    ///
    /// # Errors
    /// When they are no component: the text says what they are, and what to do.
    pub fn of(bytes: &[u8], pipeline: &Name, known: &[Hook]) -> Result<Self, String> {
        let interface = ComponentInterface::of(bytes)?;
        let mut inspection = Self::default();
        inspection.look_at_imports(&interface);
        inspection.look_at_exports(&interface, pipeline, known);
        for report in inspection.hooks.clone() {
            match report.status {
                Status::Ok => {}
                Status::WrongType => inspection.refuse(report.message),
                Status::Unknown => inspection.add_problem(report.message),
            }
        }
        if let Some(lacking) = interface.lacking {
            inspection.refuse(format!(
                "it uses a part of WebAssembly that gatling does not have: {lacking}. Build the hooks without it"
            ));
        }
        Ok(inspection)
    }

    /// The first problem that no call gets past.
    #[must_use]
    pub fn fatal_problem(&self) -> Option<&str> {
        self.fatal.first().map(String::as_str)
    }

    /// The keys of `[hooks.grants]` that the component could make use of, by what it imports. A
    /// language's library imports more than a hook may ever use.
    #[must_use]
    pub fn uses(&self) -> Vec<&'static str> {
        let grants = [
            ("gatling:hooks/process", &["run"][..]),
            ("wasi:filesystem/", &["read", "write"]),
            ("wasi:http/", &["http"]),
            ("gatling:hooks/variables", &["env"]),
            ("wasi:cli/environment", &["env"]),
        ];
        let imported = |prefix: &str| self.imports.iter().any(|import| import.starts_with(prefix));
        let mut keys: Vec<_> =
            grants.iter().filter(|(prefix, _)| imported(prefix)).flat_map(|(_, keys)| keys.iter().copied()).collect();
        keys.dedup();
        keys
    }

    /// The hooks that can be called, and whether each returns a result.
    pub fn callable(&self) -> impl Iterator<Item = (&HookReport, bool)> {
        self.hooks.iter().filter(|report| report.status == Status::Ok).map(|report| (report, report.fallible))
    }

    fn refuse(&mut self, problem: String) {
        if self.fatal.len() < MOST_PROBLEMS {
            self.fatal.push(problem.clone());
        }
        self.add_problem(problem);
    }

    fn add_problem(&mut self, problem: String) {
        if self.problems.len() < MOST_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn look_at_imports(&mut self, interface: &ComponentInterface) {
        let mut names = BTreeSet::new();
        for (name, item) in interface.imports() {
            let shown = shown(name);
            match item.ty {
                // A type that it has a name for: whatever it is, others have it.
                ComponentEntityType::Type { created, .. } if !matches!(created, ComponentAnyTypeId::Resource(_)) => {
                    continue;
                }
                ComponentEntityType::Instance(instance) => self.look_at_import(interface, name, item, instance),
                ComponentEntityType::Func(_) => {
                    self.refuse(format!("it imports the function {shown}, which gatling does not have"));
                }
                _ => self.refuse(format!("it imports {shown}, which gatling does not have")),
            }
            names.insert(shown);
        }
        self.imports = names.into_iter().collect();
    }

    fn look_at_import(
        &mut self,
        component: &ComponentInterface,
        name: &str,
        item: &ComponentItem,
        instance: ComponentInstanceTypeId,
    ) {
        let parsed = ComponentName::new_with_features(name, 0, wasmparser::WasmFeatures::all());
        let parsed = parsed.as_ref().map(ComponentName::kind);
        let Ok(ComponentNameKind::Interface(interface)) = parsed else {
            return self.refuse(format!("it imports {}, which gatling does not have", shown(name)));
        };
        let (namespace, package) = (interface.namespace(), interface.package());
        if namespace.as_str() == NAMESPACE && package.as_str() == PACKAGE {
            self.look_at_contract(component.types(), &interface, item, instance);
        } else if namespace.as_str() != "wasi" || !is_linked(&interface, item) {
            let name = shown(name);
            self.refuse(format!("it imports {name}, which gatling does not have: build the hooks without it"));
        }
    }

    /// Whether the contract that the component was built against is one that this Gatling keeps.
    fn look_at_contract(
        &mut self,
        types: TypesRef<'_>,
        interface: &InterfaceName<'_>,
        item: &ComponentItem,
        instance: ComponentInstanceTypeId,
    ) {
        let ours = CONTRACT.package.version.as_ref().expect("the contract has a version");
        let name = shown(interface.as_str());
        let Ok(Some(theirs)) = interface.version(item.version_suffix.as_deref()) else {
            return self.refuse(format!(
                "it imports {name} without a version: this gatling has gatling:hooks@{ours}; write the version into the world"
            ));
        };
        self.contract = Some(shown(&theirs.to_string()));
        let is_kept = theirs.major == ours.major && theirs.minor <= ours.minor && theirs.pre.is_empty();
        if !is_kept {
            let remedy = if theirs > *ours {
                "upgrade gatling on the server, or build the hooks against the older contract"
            } else {
                "build the hooks anew against this contract"
            };
            let theirs = shown(&theirs.to_string());
            let problem = format!(
                "it needs the contract gatling:hooks@{theirs}, and this gatling has gatling:hooks@{ours}: {remedy}"
            );
            if !self.fatal.contains(&problem) {
                self.refuse(problem);
            }
            return;
        }
        self.minor = self.minor.max(Some(theirs.minor));
        let interface = interface.interface();
        let known =
            CONTRACT.resolve.packages.iter().find_map(|(_, package)| package.interfaces.get(interface.as_str()));
        let Some(known) = known.map(|id| &CONTRACT.resolve.interfaces[*id]) else {
            let interface = shown(interface.as_str());
            return self.refuse(format!("it imports {name}, and gatling:hooks@{ours} has no interface {interface}"));
        };
        let comparison = Comparison { types, contract: &CONTRACT.resolve };
        for (function, item) in &types[instance].exports {
            let ComponentEntityType::Func(theirs) = item.ty else { continue };
            match known.functions.get(function) {
                None => self.refuse(format!(
                    "it imports the function {} of {name}, which gatling:hooks@{ours} does not have",
                    shown(function)
                )),
                Some(own) if !comparison.is_same_function(&types[theirs], own) => self.refuse(format!(
                    "it imports the function {function} of {name} with another type than it has in gatling:hooks@{ours}: build the hooks against the contract as gatling ships it"
                )),
                Some(_) => {}
            }
        }
    }

    fn look_at_exports(&mut self, interface: &ComponentInterface, pipeline: &Name, known: &[Hook]) {
        // The file's own pipeline first: many hooks have the same name in several pipelines.
        let (own, others): (Vec<_>, Vec<_>) = known.iter().partition(|hook| hook.pipeline == *pipeline);
        let known: Vec<_> = own.into_iter().chain(others).map(|hook| (hook.export(), hook)).collect();
        let mut found: Vec<(usize, HookReport)> = Vec::new();
        let types = interface.types();
        let mut guesses = 0..MOST_GUESSES;
        for (export, item) in interface.exports() {
            if matches!(item.ty, ComponentEntityType::Component(_)) {
                let export = shown(export);
                self.refuse(format!("it exports the component {export}, and can export only what is in components"));
            }
            let ComponentEntityType::Func(function) = item.ty else { continue };
            if let Some(place) = known.iter().position(|(name, _)| name == export) {
                let mut report = hook_report(types, &types[function], known[place].1, pipeline);
                if report.status == Status::WrongType && self.is_older_than(known[place].1) {
                    report = not_yet_a_hook(report, self.contract.as_deref().unwrap_or_default());
                }
                found.push((place, report));
            } else if guesses.next().is_some()
                && let Some(nearest) = meant(export, &known)
            {
                found.push((known.len(), unknown_report(export, nearest)));
            }
        }
        found.sort_by(|(one, a), (two, b)| one.cmp(two).then_with(|| a.name.cmp(&b.name)));
        self.hooks = found.into_iter().map(|(_, report)| report).collect();
    }

    /// Whether the contract that the component was built against doesn't have that hook yet.
    fn is_older_than(&self, hook: &Hook) -> bool {
        hook.point == HookPoint::OnFailure && self.minor.is_some_and(|minor| minor < ON_FAILURE_SINCE)
    }
}

/// The report of an export that was named when its name was not a hook's. Components that worked go on
/// working, whatever they call their own functions.
fn not_yet_a_hook(report: HookReport, contract: &str) -> HookReport {
    let name = &report.name;
    HookReport {
        message: format!(
            "{name} is a hook since gatling:hooks@1.{ON_FAILURE_SINCE}.0, and the component was built against \
             gatling:hooks@{contract}: it is never called. Give the function another name, or build it against the newer contract"
        ),
        pipeline: None,
        place: None,
        status: Status::Unknown,
        ..report
    }
}

/// Whether this Gatling gives hooks that interface of WASI.
fn is_linked(interface: &InterfaceName<'_>, item: &ComponentItem) -> bool {
    let version = interface.version(item.version_suffix.as_deref()).ok().flatten();
    let is_ours = version.is_some_and(|version| (version.major, version.minor) == (0, 2) && version.pre.is_empty());
    let (package, name) = (interface.package(), interface.interface());
    is_ours && LINKED.iter().any(|(linked, names)| *linked == package.as_str() && names.contains(&name.as_str()))
}

/// A name of the component's, as people can read it.
fn shown(name: &str) -> String {
    if name.len() <= LONGEST_NAME {
        return name.to_owned();
    }
    format!("{}… (cut here: it has {} bytes)", &name[..name.floor_char_boundary(LONGEST_NAME)], name.len())
}

fn hook_report(types: TypesRef<'_>, function: &ComponentFuncType, hook: &Hook, pipeline: &Name) -> HookReport {
    let (status, fallible, message) = match returns(types, function, &hook.point) {
        Ok(fallible) if hook.pipeline == *pipeline => (Status::Ok, fallible, String::new()),
        Ok(fallible) => {
            let place =
                format!("belongs to the pipeline {}, and is not called from a hooks file of {pipeline}", hook.pipeline);
            (Status::Ok, fallible, place)
        }
        Err(wrong) => {
            let (name, version) = (hook.name(), contract_version());
            let right = match hook.point {
                HookPoint::OnFailure => format!(
                    "It is `func(env: env, failure: failure) -> result<_, string>` or `func(env: env, failure: failure)`, with \
                     the env of gatling:hooks/types@{version} and the failure of gatling:hooks/failures@{version}"
                ),
                _ => format!(
                    "A hook is `func(env: env) -> result<_, string>` or `func(env: env)`, with the env of \
                     gatling:hooks/types@{version}"
                ),
            };
            (Status::WrongType, false, format!("the hook {name} has the wrong type: {wrong}. {right}"))
        }
    };
    HookReport {
        name: hook.name(),
        pipeline: Some(hook.pipeline.clone()),
        step: hook.point.step().cloned(),
        phase: hook.point.phase(),
        status,
        message,
        fallible,
        place: Some(format!("{}: {}", hook.pipeline, hook.point)),
    }
}

fn unknown_report(export: &str, nearest: String) -> HookReport {
    let name = shown(export).replace('-', "_");
    HookReport {
        message: format!("{name} is not a hook, and is never called: did you mean {nearest}?"),
        name,
        pipeline: None,
        step: None,
        phase: None,
        status: Status::Unknown,
        fallible: false,
        place: None,
    }
}

/// The hook that an export with another name may have been meant for; none if it was meant for
/// something else, as what toolchains add is.
fn meant(export: &str, known: &[(String, &Hook)]) -> Option<String> {
    let looks_like_one = export.starts_with("before-") || export.starts_with("after-");
    let longest = known.iter().map(|(name, _)| name.len()).max()?;
    if !looks_like_one && export.len() > longest + LIKENESS {
        return None;
    }
    // How the end of a long name is spelt makes no hook any nearer.
    let start = &export[..export.floor_char_boundary(2 * longest)];
    let (distance, nearest) = known
        .iter()
        .map(|(name, hook)| (strsim::damerau_levenshtein(start, name), hook))
        .min_by_key(|(distance, _)| *distance)?;
    (looks_like_one || distance <= LIKENESS).then(|| nearest.name())
}

/// Whether a hook of this type returns a result. What is wrong with the type, if it is none.
fn returns(types: TypesRef<'_>, function: &ComponentFuncType, point: &HookPoint) -> Result<bool, String> {
    if function.async_ {
        return Err("it is async".to_owned());
    }
    let wanted: &[_] = match point {
        HookPoint::OnFailure => &[("env", &CONTRACT.env), ("failure", &CONTRACT.failure)],
        _ => &[("env", &CONTRACT.env)],
    };
    if function.params.len() != wanted.len() {
        return Err(format!("it takes {} parameters", function.params.len()));
    }
    let comparison = Comparison { types, contract: &CONTRACT.resolve };
    for ((_, theirs), (name, ours)) in function.params.iter().zip(wanted) {
        comparison.same(theirs, ours, name)?;
    }
    match &function.result {
        None => Ok(false),
        Some(result) if is_plain_result(types, result) => Ok(true),
        Some(_) => Err("it returns something else".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
