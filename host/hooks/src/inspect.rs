//! Inspects a component without compiling it: its exports and imports, and whether they match the contract.

use std::collections::BTreeSet;

use serde::Serialize;
use wasmparser::component_types::{
    ComponentAnyTypeId, ComponentEntityType, ComponentFuncType, ComponentInstanceTypeId, ComponentItem,
};
use wasmparser::names::{ComponentName, ComponentNameKind, InterfaceName};
use wasmparser::types::TypesRef;

use crate::contract::CONTRACT;
pub use crate::contract::contract_version;
use crate::interface::ComponentInterface;
use crate::types::{Comparison, is_plain_result};
use gatling_names::{Hook, HookPoint, Name};

/// The namespace and name of the contract's package.
const NAMESPACE: &str = "gatling";
const PACKAGE: &str = "hooks";
/// The interfaces of WASI 0.2 that hooks can import.
const WASI_INTERFACES: [(&str, &[&str]); 7] = [
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
/// The minor version of the contract that added `on_failure`.
const ON_FAILURE_SINCE: u64 = 2;
/// An export whose name differs from every hook's by more than this many typos is not meant as a hook.
const MAX_TYPOS: usize = 3;
/// How many problems are reported.
const MAX_PROBLEMS: usize = 100;
/// For how many exports that are not hooks a suggestion is computed.
const MAX_SUGGESTIONS: usize = 1000;
/// Longer names, in bytes, are truncated in messages.
const MAX_NAME: usize = 200;

/// The result of inspecting a component.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Inspection {
    /// The version of the contract that it was built against; `None` if it does not import the contract.
    pub contract: Option<String>,
    /// Its hooks in pipeline order, then exports that look like hooks, but are not.
    pub hooks: Vec<HookReport>,
    /// The names of its imports, sorted.
    pub imports: Vec<String>,
    /// All problems of the component.
    pub problems: Vec<String>,
    /// The problems because of which no hook can be called.
    #[serde(skip)]
    fatal: Vec<String>,
    /// The minor version of the contract that it was built against, if Gatling supports it.
    #[serde(skip)]
    minor: Option<u64>,
}

/// An export that is a hook, or looks like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// Its name, with underscores: `before_mix_compile`.
    pub name: String,
    /// The pipeline it belongs to.
    #[serde(rename = "task")]
    pub pipeline: Option<Name>,
    /// The step it belongs to.
    pub step: Option<Name>,
    /// Whether it is called `before` or `after` the step.
    pub phase: Option<&'static str>,
    /// Whether it can be called.
    pub status: Status,
    /// A problem or a note about it; empty if there is none.
    pub message: String,
    #[serde(skip)]
    fallible: bool,
    /// Where it is called, as text; `None` if it is not a hook.
    #[serde(skip)]
    pub place: Option<String>,
}

/// Whether an export can be called as a hook.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Status {
    /// It can be called.
    Ok,
    /// It has the name of a hook, but the wrong type.
    WrongType,
    /// Its name is similar to a hook's.
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

impl Inspection {
    /// Inspects the bytes of a hooks file of a pipeline. `known` are the hooks of all pipelines of the program.
    ///
    /// # Errors
    /// When they are not a component. The error says what they are, and what to do.
    pub fn of(bytes: &[u8], pipeline: &Name, known: &[Hook]) -> Result<Self, String> {
        let interface = ComponentInterface::of(bytes)?;
        let mut inspection = Self::default();
        inspection.check_imports(&interface);
        inspection.check_exports(&interface, pipeline, known);
        for report in inspection.hooks.clone() {
            match report.status {
                Status::Ok => {}
                Status::WrongType => inspection.refuse(report.message),
                Status::Unknown => inspection.add_problem(report.message),
            }
        }
        if let Some(unsupported) = interface.unsupported {
            inspection.refuse(format!(
                "it uses a WebAssembly feature that Gatling does not support: {unsupported}. Build the hooks without it"
            ));
        }
        Ok(inspection)
    }

    /// The first problem because of which no hook can be called.
    #[must_use]
    pub fn fatal_problem(&self) -> Option<&str> {
        self.fatal.first().map(String::as_str)
    }

    /// The keys of `[hooks.grants]` that the component could use, judging by its imports. The library of a language
    /// often imports more than the hooks use.
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
        if self.fatal.len() < MAX_PROBLEMS {
            self.fatal.push(problem.clone());
        }
        self.add_problem(problem);
    }

    fn add_problem(&mut self, problem: String) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(problem);
        }
    }

    fn check_imports(&mut self, interface: &ComponentInterface) {
        let mut names = BTreeSet::new();
        for (name, item) in interface.imports() {
            let display = display_name(name);
            match item.ty {
                // A named type needs no implementation.
                ComponentEntityType::Type { created, .. } if !matches!(created, ComponentAnyTypeId::Resource(_)) => {
                    continue;
                }
                ComponentEntityType::Instance(instance) => self.check_import(interface, name, item, instance),
                ComponentEntityType::Func(_) => {
                    self.refuse(format!("it imports the function {display}, which Gatling does not provide"));
                }
                _ => self.refuse(format!("it imports {display}, which Gatling does not provide")),
            }
            names.insert(display);
        }
        self.imports = names.into_iter().collect();
    }

    fn check_import(
        &mut self,
        component: &ComponentInterface,
        name: &str,
        item: &ComponentItem,
        instance: ComponentInstanceTypeId,
    ) {
        let parsed = ComponentName::new_with_features(name, 0, wasmparser::WasmFeatures::all());
        let parsed = parsed.as_ref().map(ComponentName::kind);
        let Ok(ComponentNameKind::Interface(interface)) = parsed else {
            return self.refuse(format!("it imports {}, which Gatling does not provide", display_name(name)));
        };
        let (namespace, package) = (interface.namespace(), interface.package());
        if namespace.as_str() == NAMESPACE && package.as_str() == PACKAGE {
            self.check_contract(component.types(), &interface, item, instance);
        } else if namespace.as_str() != "wasi" || !is_provided(&interface, item) {
            let name = display_name(name);
            self.refuse(format!("it imports {name}, which Gatling does not provide: build the hooks without it"));
        }
    }

    /// Checks that Gatling supports the version of the contract that the component was built against.
    fn check_contract(
        &mut self,
        types: TypesRef<'_>,
        interface: &InterfaceName<'_>,
        item: &ComponentItem,
        instance: ComponentInstanceTypeId,
    ) {
        let ours = CONTRACT.package.version.as_ref().expect("the contract has a version");
        let name = display_name(interface.as_str());
        let Ok(Some(theirs)) = interface.version(item.version_suffix.as_deref()) else {
            return self.refuse(format!(
                "it imports {name} without a version: add the version to the world. This Gatling provides gatling:hooks@{ours}"
            ));
        };
        self.contract = Some(display_name(&theirs.to_string()));
        let is_supported = theirs.major == ours.major && theirs.minor <= ours.minor && theirs.pre.is_empty();
        if !is_supported {
            let remedy = if theirs > *ours {
                "upgrade Gatling on the server, or build the hooks against the older contract"
            } else {
                "rebuild the hooks against this contract"
            };
            let theirs = display_name(&theirs.to_string());
            let problem = format!(
                "it needs the contract gatling:hooks@{theirs}, but this Gatling provides gatling:hooks@{ours}: {remedy}"
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
            let interface = display_name(interface.as_str());
            return self.refuse(format!("it imports {name}, but gatling:hooks@{ours} has no interface {interface}"));
        };
        let comparison = Comparison { types, contract: &CONTRACT.resolve };
        for (function, item) in &types[instance].exports {
            let ComponentEntityType::Func(theirs) = item.ty else { continue };
            match known.functions.get(function) {
                None => self.refuse(format!(
                    "it imports the function {} of {name}, which gatling:hooks@{ours} does not have",
                    display_name(function)
                )),
                Some(own) if !comparison.is_same_function(&types[theirs], own) => self.refuse(format!(
                    "it imports the function {function} of {name} with a type that differs from gatling:hooks@{ours}: \
                     build the hooks against the unchanged contract of Gatling"
                )),
                Some(_) => {}
            }
        }
    }

    fn check_exports(&mut self, interface: &ComponentInterface, pipeline: &Name, known: &[Hook]) {
        // The file's own pipeline comes first, because several pipelines have hooks of the same name.
        let (own, others): (Vec<_>, Vec<_>) = known.iter().partition(|hook| hook.pipeline == *pipeline);
        let known: Vec<_> = own.into_iter().chain(others).map(|hook| (hook.export(), hook)).collect();
        let mut found: Vec<(usize, HookReport)> = Vec::new();
        let types = interface.types();
        let mut suggestions = 0..MAX_SUGGESTIONS;
        for (export, item) in interface.exports() {
            if matches!(item.ty, ComponentEntityType::Component(_)) {
                let export = display_name(export);
                self.refuse(format!("it exports the component {export}: export functions instead"));
            }
            let ComponentEntityType::Func(function) = item.ty else { continue };
            if let Some(place) = known.iter().position(|(name, _)| name == export) {
                let mut report = hook_report(types, &types[function], known[place].1, pipeline);
                if report.status == Status::WrongType && self.is_older_than(known[place].1) {
                    report = not_yet_a_hook(report, self.contract.as_deref().unwrap_or_default());
                }
                found.push((place, report));
            } else if suggestions.next().is_some()
                && let Some(nearest) = suggestion(export, &known)
            {
                found.push((known.len(), unknown_report(export, nearest)));
            }
        }
        found.sort_by(|(one, a), (two, b)| one.cmp(two).then_with(|| a.name.cmp(&b.name)));
        self.hooks = found.into_iter().map(|(_, report)| report).collect();
    }

    /// Whether the component was built against a contract that did not have this hook yet.
    fn is_older_than(&self, hook: &Hook) -> bool {
        hook.point == HookPoint::OnFailure && self.minor.is_some_and(|minor| minor < ON_FAILURE_SINCE)
    }
}

/// The report of an export that got its name before that was the name of a hook. It is not an error, so that
/// components that worked before keep working.
fn not_yet_a_hook(report: HookReport, contract: &str) -> HookReport {
    let name = &report.name;
    HookReport {
        message: format!(
            "{name} is a hook since gatling:hooks@1.{ON_FAILURE_SINCE}.0, but the component was built against \
             gatling:hooks@{contract}: it is never called. Rename the function, or build it against the newer contract"
        ),
        pipeline: None,
        place: None,
        status: Status::Unknown,
        ..report
    }
}

/// Whether Gatling provides this interface of WASI.
fn is_provided(interface: &InterfaceName<'_>, item: &ComponentItem) -> bool {
    let version = interface.version(item.version_suffix.as_deref()).ok().flatten();
    let is_ours = version.is_some_and(|version| (version.major, version.minor) == (0, 2) && version.pre.is_empty());
    let (package, name) = (interface.package(), interface.interface());
    is_ours
        && WASI_INTERFACES
            .iter()
            .any(|(provided, names)| *provided == package.as_str() && names.contains(&name.as_str()))
}

/// A name from the component, truncated for messages.
fn display_name(name: &str) -> String {
    if name.len() <= MAX_NAME {
        return name.to_owned();
    }
    format!("{}… (truncated: {} bytes in total)", &name[..name.floor_char_boundary(MAX_NAME)], name.len())
}

fn hook_report(types: TypesRef<'_>, function: &ComponentFuncType, hook: &Hook, pipeline: &Name) -> HookReport {
    let (status, fallible, message) = match check_type(types, function, &hook.point) {
        Ok(fallible) if hook.pipeline == *pipeline => (Status::Ok, fallible, String::new()),
        Ok(fallible) => {
            let place = format!(
                "belongs to the pipeline {}, so it is not called from a hooks file of {pipeline}",
                hook.pipeline
            );
            (Status::Ok, fallible, place)
        }
        Err(wrong) => {
            let (name, version) = (hook.name(), contract_version());
            let right = match hook.point {
                HookPoint::OnFailure => format!(
                    "It must be `func(env: env, failure: failure) -> result<_, string>` or `func(env: env, failure: failure)`, \
                     with the env of gatling:hooks/types@{version} and the failure of gatling:hooks/failures@{version}"
                ),
                _ => format!(
                    "It must be `func(env: env) -> result<_, string>` or `func(env: env)`, with the env of \
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
    let name = display_name(export).replace('-', "_");
    HookReport {
        message: format!("{name} is not a hook, so it is never called: did you mean {nearest}?"),
        name,
        pipeline: None,
        step: None,
        phase: None,
        status: Status::Unknown,
        fallible: false,
        place: None,
    }
}

/// The hook that was probably meant by an export with another name; `None` if the export is something else, such
/// as a function that a toolchain adds.
fn suggestion(export: &str, known: &[(String, &Hook)]) -> Option<String> {
    let looks_like_hook = export.starts_with("before-") || export.starts_with("after-");
    let longest = known.iter().map(|(name, _)| name.len()).max()?;
    if !looks_like_hook && export.len() > longest + MAX_TYPOS {
        return None;
    }
    // The end of a long name does not change which hook is the nearest.
    let start = &export[..export.floor_char_boundary(2 * longest)];
    let (distance, nearest) = known
        .iter()
        .map(|(name, hook)| (strsim::damerau_levenshtein(start, name), hook))
        .min_by_key(|(distance, _)| *distance)?;
    (looks_like_hook || distance <= MAX_TYPOS).then(|| nearest.name())
}

/// Whether a hook of this type returns a result. The error says what is wrong with the type.
fn check_type(types: TypesRef<'_>, function: &ComponentFuncType, point: &HookPoint) -> Result<bool, String> {
    if function.async_ {
        return Err("it is asynchronous".to_owned());
    }
    let wanted: &[_] = match point {
        HookPoint::OnFailure => &[("env", &CONTRACT.env), ("failure", &CONTRACT.failure)],
        _ => &[("env", &CONTRACT.env)],
    };
    if function.params.len() != wanted.len() {
        return Err(format!("it has {} parameters instead of {}", function.params.len(), wanted.len()));
    }
    let comparison = Comparison { types, contract: &CONTRACT.resolve };
    for ((_, theirs), (name, ours)) in function.params.iter().zip(wanted) {
        comparison.check_same(theirs, ours, name)?;
    }
    match &function.result {
        None => Ok(false),
        Some(result) if is_plain_result(types, result) => Ok(true),
        Some(_) => Err("its result is not `result<_, string>`".to_owned()),
    }
}

#[cfg(test)]
pub(crate) mod tests;
