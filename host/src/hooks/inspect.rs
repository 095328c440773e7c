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
            } else if package.namespace != "wasi" || !is_linked(&package.name) {
                self.refuse(format!("it imports {name}, which gatling does not have: build the hooks without it"));
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
fn is_linked(package: &str) -> bool {
    ["cli", "clocks", "filesystem", "io", "random", "sockets"].contains(&package)
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
mod tests {
    use super::*;
    use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
    use wit_parser::ManglingAndAbi;

    /// A component with the exports and imports of a world, whose functions all trap. `contract`
    /// is the text of the contract that it is built against.
    fn built(world: &str, contract: &str) -> Vec<u8> {
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

    const USE: &str = "use gatling:hooks/types@1.0.0.{env}; include gatling:hooks/imports@1.0.0;";

    fn of(exports: &str, task: Task) -> Inspection {
        Inspection::of(&built(&format!("{USE} {exports}"), WIT), task).expect("it is a component")
    }

    fn versioned(version: &str) -> Inspection {
        let contract = WIT.replace("gatling:hooks@1.0.0", &format!("gatling:hooks@{version}"));
        let world =
            format!("{USE} export before-mix-compile: func(env: env);").replace("@1.0.0", &format!("@{version}"));
        Inspection::of(&built(&world, &contract), Task::Upgrade).expect("it is a component")
    }

    #[test]
    fn hooks_are_listed_in_pipeline_order_with_their_places() {
        let inspection = of(
            "export after-configure-nginx: func(env: env); export before-mix-deps-get: func(env: env) -> result<_, string>;",
            Task::Upgrade,
        );
        let hooks: Vec<_> = inspection.hooks.iter().map(|hook| (hook.name.as_str(), hook.step, hook.status)).collect();
        let expected = [
            ("before_mix_deps_get", Some("mix_deps_get"), Status::Ok),
            ("after_configure_nginx", Some("configure_nginx"), Status::Ok),
        ];
        assert_eq!(hooks, expected);
        assert_eq!(inspection.problems, [""; 0]);
        assert_eq!(inspection.contract.as_deref(), Some("1.0.0"));
        assert_eq!(inspection.callable().map(|(_, fallible)| fallible).collect::<Vec<_>>(), [true, false]);
    }

    #[test]
    fn a_misspelt_hook_is_named_with_the_nearest_but_stops_nothing() {
        let inspection = of("export before-mix-compil: func(env: env);", Task::Upgrade);
        assert_eq!(inspection.hooks[0].status, Status::Unknown);
        assert!(inspection.problems[0].contains("before_mix_compile"), "{:?}", inspection.problems);
        assert_eq!(inspection.fatal_problem(), None);
    }

    #[test]
    fn what_toolchains_export_beside_hooks_is_ignored() {
        let inspection = of("export init: func(); export exports: interface { f: func(); }", Task::Upgrade);
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
            let inspection = of(export, Task::Upgrade);
            assert_eq!(inspection.hooks[0].status, Status::WrongType, "{export}");
            let problem = inspection.fatal_problem().expect(export);
            assert!(problem.contains(reason) && problem.contains("func(env: env) -> result<_, string>"), "{problem}");
        }
    }

    #[test]
    fn a_hook_of_another_task_is_fine_and_said_not_to_be_called() {
        let inspection = of("export before-start-service: func(env: env);", Task::Upgrade);
        assert_eq!((inspection.hooks[0].task, inspection.hooks[0].status), (Some(Task::Deploy), Status::Ok));
        assert!(inspection.hooks[0].message.contains("not called from upgrade.wasm"), "{:?}", inspection.hooks);
        assert!(inspection.problems.is_empty());
    }

    #[test]
    fn another_version_of_the_contract_is_refused_with_both_versions() {
        for version in ["2.0.0", "1.1.0", "0.9.0"] {
            let inspection = versioned(version);
            let problem = inspection.fatal_problem().expect(version);
            assert!(problem.contains(version) && problem.contains(&contract_version()), "{problem}");
        }
        assert_eq!(versioned("1.0.7").fatal_problem(), None, "a patch changes no types");
    }

    #[test]
    fn a_component_without_a_version_of_the_contract_is_told_to_name_one() {
        let contract = WIT.replace("gatling:hooks@1.0.0", "gatling:hooks");
        let world = format!("{USE} export before-mix-compile: func(env: env);").replace("@1.0.0", "");
        let inspection = Inspection::of(&built(&world, &contract), Task::Upgrade).expect("it is a component");
        assert!(inspection.fatal_problem().expect("it names none").contains("without a version"), "{inspection:?}");
    }

    #[test]
    fn imports_that_gatling_does_not_have_are_named() {
        let contract = WIT.replace("run-id: func() -> string;", "run-id: func() -> string; mood: func() -> string;");
        let bytes = built(&format!("{USE} export before-mix-compile: func(env: env);"), &contract);
        let inspection = Inspection::of(&bytes, Task::Upgrade).expect("it is a component");
        assert!(inspection.fatal_problem().expect("there is no mood").contains("mood"), "{inspection:?}");

        let inspection = of("import dance: func();", Task::Upgrade);
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
            let problem = Inspection::of(bytes, Task::Upgrade).expect_err(words);
            assert!(problem.contains(words), "{problem}");
        }
    }
}
