//! A look into a component, without compiling it: what it exports, what it needs, and whether
//! that fits the contract.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde::Serialize;
use wit_parser::decoding::{DecodedWasm, decode};
use wit_parser::{Function, FunctionKind, PackageName, Resolve, Type, WorldId, WorldItem, WorldKey};

use super::contract::WIT;
use super::types::{is_plain_result, same, signature};
use crate::task::{Hook, Task};

/// The contract's package, without its version.
const NAMESPACE: &str = "gatling";
const PACKAGE: &str = "hooks";
/// Names further from every hook than this many typing errors are somebody's own.
const LIKENESS: usize = 3;

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
}

/// One export that is a hook, or looks like one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HookReport {
    /// Its name as people write it: `before_mix_compile`.
    pub name: String,
    /// The task it belongs to.
    pub task: Option<Task>,
    /// The step it belongs to.
    pub step: Option<&'static str>,
    /// The phase it belongs to.
    pub phase: Option<crate::task::Phase>,
    /// Whether it can be called.
    pub status: Status,
    /// What there is to say about it.
    pub message: String,
    #[serde(skip)]
    fallible: bool,
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
}

static CONTRACT: LazyLock<Contract> = LazyLock::new(|| {
    let mut resolve = Resolve::default();
    let id = resolve.push_str("hooks.wit", WIT).expect("the contract is well-formed: a test reads it");
    let package = resolve.packages[id].name.clone();
    let types = resolve.packages[id].interfaces["types"];
    let env = Type::Id(resolve.interfaces[types].types["env"]);
    Contract { resolve, package, env }
});

/// The contract's version.
#[must_use]
pub fn contract_version() -> String {
    CONTRACT.package.version.as_ref().map(ToString::to_string).unwrap_or_default()
}

impl Inspection {
    /// Looks into the bytes of a hooks file of `task`.
    ///
    /// # Errors
    /// When they are no component: the text says what they are, and what to do.
    pub fn of(bytes: &[u8], task: Task) -> Result<Self, String> {
        let (resolve, world) = component(bytes)?;
        let mut inspection = Self::default();
        inspection.look_at_imports(&resolve, world);
        inspection.look_at_exports(&resolve, world, task);
        for report in &inspection.hooks {
            match report.status {
                Status::Ok => {}
                Status::WrongType => {
                    inspection.fatal.push(report.message.clone());
                    inspection.problems.push(report.message.clone());
                }
                Status::Unknown => inspection.problems.push(report.message.clone()),
            }
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
        self.fatal.push(problem.clone());
        self.problems.push(problem);
    }

    fn look_at_imports(&mut self, resolve: &Resolve, world: WorldId) {
        let mut names = BTreeSet::new();
        for (key, item) in &resolve.worlds[world].imports {
            let WorldItem::Interface { id, .. } = item else {
                if let WorldItem::Function(function) = item {
                    names.insert(function.name.clone());
                    self.refuse(format!("it imports the function {}, which gatling does not have", function.name));
                }
                continue;
            };
            let interface = &resolve.interfaces[*id];
            let name = resolve.name_world_key(key);
            names.insert(name.clone());
            let Some(package) = interface.package.map(|package| &resolve.packages[package].name) else {
                self.refuse(format!("it imports {name}, which gatling does not have"));
                continue;
            };
            if package.namespace == NAMESPACE && package.name == PACKAGE {
                let functions = interface.functions.values();
                self.look_at_contract(
                    &name,
                    package,
                    interface.name.as_deref().unwrap_or_default(),
                    resolve,
                    functions,
                );
            } else if package.namespace != "wasi" || !is_linked(&package.name, interface.name.as_deref()) {
                self.refuse(format!("it imports {name}, which gatling does not have: build the hooks without it"));
            } else if !package
                .version
                .as_ref()
                .is_some_and(|version| version.major == 0 && version.minor == 2 && version.pre.is_empty())
            {
                self.refuse(format!("it imports {name}, and gatling has WASI 0.2: build the hooks for it"));
            }
        }
        self.imports = names.into_iter().collect();
    }

    /// Whether the contract that the component was built against is one that this Gatling keeps.
    fn look_at_contract<'a>(
        &mut self,
        name: &str,
        package: &PackageName,
        interface: &str,
        resolve: &Resolve,
        functions: impl Iterator<Item = &'a Function>,
    ) {
        let ours = CONTRACT.package.version.as_ref().expect("the contract has a version");
        let Some(theirs) = &package.version else {
            return self.refuse(format!(
                "it imports {name} without a version: this gatling has gatling:hooks@{ours}; write the version into the world"
            ));
        };
        self.contract = Some(theirs.to_string());
        if theirs.major != ours.major || theirs.minor > ours.minor {
            let remedy = if theirs > ours {
                "upgrade gatling on the server, or build the hooks against the older contract"
            } else {
                "build the hooks anew against this contract"
            };
            let problem = format!(
                "it needs the contract gatling:hooks@{theirs}, and this gatling has gatling:hooks@{ours}: {remedy}"
            );
            if !self.fatal.contains(&problem) {
                self.refuse(problem);
            }
            return;
        }
        let Some(id) = CONTRACT.resolve.packages.iter().find_map(|(_, package)| package.interfaces.get(interface))
        else {
            return self.refuse(format!("it imports {name}, and gatling:hooks@{ours} has no interface {interface}"));
        };
        for function in functions {
            match CONTRACT.resolve.interfaces[*id].functions.get(&function.name) {
                None => self.refuse(format!(
                    "it imports the function {} of {name}, which gatling:hooks@{ours} does not have",
                    function.name
                )),
                Some(own) if signature(resolve, function) != signature(&CONTRACT.resolve, own) => self.refuse(format!(
                    "it imports the function {} of {name} with another type than it has in gatling:hooks@{ours}: build the hooks \
                     against the contract as gatling ships it",
                    function.name
                )),
                Some(_) => {}
            }
        }
    }

    fn look_at_exports(&mut self, resolve: &Resolve, world: WorldId, task: Task) {
        // The file's own task first: many hooks have the same name in several tasks.
        let mut tasks = Task::ALL.to_vec();
        tasks.sort_by_key(|other| *other != task);
        let known: Vec<Hook> = tasks.iter().flat_map(|task| task.hooks()).collect();
        let mut found: Vec<(usize, HookReport)> = Vec::new();
        for (key, item) in &resolve.worlds[world].exports {
            let (WorldKey::Name(export), WorldItem::Function(function)) = (key, item) else { continue };
            if let Some(place) = known.iter().position(|hook| hook.export() == *export) {
                found.push((place, hook_report(resolve, function, known[place], task)));
            } else if let Some(nearest) = meant(export, &known) {
                found.push((known.len(), unknown_report(export, nearest)));
            }
        }
        found.sort_by(|(one, a), (two, b)| one.cmp(two).then_with(|| a.name.cmp(&b.name)));
        self.hooks = found.into_iter().map(|(_, report)| report).collect();
    }
}

/// Whether this Gatling gives hooks the WASI package of that name.
fn is_linked(package: &str, interface: Option<&str>) -> bool {
    match package {
        "http" => interface.is_some_and(|name| ["outgoing-handler", "types"].contains(&name)),
        _ => ["cli", "clocks", "filesystem", "io", "random", "sockets"].contains(&package),
    }
}

/// The interface of the component in `bytes`.
fn component(bytes: &[u8]) -> Result<(Resolve, WorldId), String> {
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    if bytes.is_empty() {
        return Err("it is empty: build the hooks again, and look whether the disk was full".to_owned());
    }
    if bytes.starts_with(MODULE) {
        return Err("it is a core WebAssembly module, and a hooks file is a component: build it for the target wasm32-wasip2, or \
                    make it one with `wasm-tools component new`"
            .to_owned());
    }
    if !bytes.starts_with(COMPONENT) {
        let what = if COMPONENT.starts_with(bytes) || bytes.starts_with(b"\0asm") {
            "it is cut off, or of a WebAssembly version that gatling does not know"
        } else if bytes.starts_with(b"version https://git-lfs") {
            "it is a pointer of Git LFS, and the file itself was not pushed"
        } else {
            "it is no WebAssembly at all"
        };
        return Err(format!("{what}: a hooks file is a WebAssembly component"));
    }
    match decode(bytes) {
        Ok(DecodedWasm::Component(resolve, world)) => Ok((resolve, world)),
        Ok(DecodedWasm::WitPackage(..)) => {
            Err("it is a WIT package in binary form, and has no code: build the hooks themselves".to_owned())
        }
        Err(error) => {
            Err(format!("it is a damaged component: {error:#}. Build the hooks again, and copy the file whole"))
        }
    }
}

fn hook_report(resolve: &Resolve, function: &Function, hook: Hook, task: Task) -> HookReport {
    let (status, fallible, message) = match returns(resolve, function) {
        Ok(fallible) if hook.task == task => (Status::Ok, fallible, String::new()),
        Ok(fallible) => {
            let place = format!("belongs to the task {}: it is not called from {}", hook.task, task.hooks_file());
            (Status::Ok, fallible, place)
        }
        Err(wrong) => {
            let message = format!(
                "the hook {} has the wrong type: {wrong}. A hook is `func(env: env) -> result<_, string>` or `func(env: env)`, with \
                 the env of gatling:hooks/types@{}",
                hook.name(),
                contract_version()
            );
            (Status::WrongType, false, message)
        }
    };
    HookReport {
        name: hook.name(),
        task: Some(hook.task),
        step: Some(hook.step),
        phase: Some(hook.phase),
        status,
        message,
        fallible,
    }
}

fn unknown_report(export: &str, nearest: String) -> HookReport {
    HookReport {
        name: export.replace('-', "_"),
        task: None,
        step: None,
        phase: None,
        status: Status::Unknown,
        message: format!("{} is no hook, and is never called: did you mean {nearest}?", export.replace('-', "_")),
        fallible: false,
    }
}

/// The hook that an export with another name may have been meant for; none if it was meant for
/// something else, as what toolchains add is.
fn meant(export: &str, known: &[Hook]) -> Option<String> {
    let looks_like_one = export.starts_with("before-") || export.starts_with("after-");
    let (distance, nearest) = known
        .iter()
        .map(|hook| (strsim::damerau_levenshtein(export, &hook.export()), hook))
        .min_by_key(|(distance, _)| *distance)?;
    (looks_like_one || distance <= LIKENESS).then(|| nearest.name())
}

/// Whether a hook of this type returns a result. What is wrong with the type, if it is none.
fn returns(resolve: &Resolve, function: &Function) -> Result<bool, String> {
    if !matches!(function.kind, FunctionKind::Freestanding) {
        return Err("it is async".to_owned());
    }
    let [parameter] = function.params.as_slice() else {
        return Err(format!("it takes {} parameters", function.params.len()));
    };
    same(resolve, &parameter.ty, &CONTRACT.resolve, &CONTRACT.env, "env")?;
    match &function.result {
        None => Ok(false),
        Some(result) if is_plain_result(resolve, result) => Ok(true),
        Some(_) => Err("it returns something else".to_owned()),
    }
}

#[cfg(test)]
mod tests;
