//! What a component shows from outside: what it imports and exports, and the types of that.
//!
//! The bytes are whatever somebody pushed. So the validator takes every section before anything
//! is made of it: it bounds how many there may be of each thing, how large types are and how deep
//! they nest. Function bodies are left to whoever compiles them.

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{BinaryReaderError, Parser, Payload, ValidPayload, Validator, WasmFeatures};

/// The parts of WebAssembly that this Gatling runs: what wasmtime has on by default, without what
/// needs parts of it that Gatling is built without.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::THREADS);

/// How deep components may nest: those that toolchains make have two levels or three, and every
/// level costs as much as all inside of it.
const DEEPEST: usize = 100;

/// How many globals and functions a module may have: each instance of it takes memory of
/// Gatling's own for all of them. Python's have some 60,000 functions.
const MOST_GLOBALS: u32 = 100_000;
const MOST_FUNCTIONS: u32 = 400_000;

/// The outside of a component.
pub(crate) struct ComponentInterface {
    types: Types,
    imports: Vec<String>,
    exports: Vec<String>,
    /// The part of WebAssembly that it needs and this Gatling doesn't have.
    pub(crate) lacking: Option<String>,
}

impl ComponentInterface {
    /// Looks at the bytes of a component.
    ///
    /// # Errors
    /// When they are no valid component: the text says what they are, and what to do.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, String> {
        check_header(bytes)?;
        let interface = read(bytes, FEATURES).or_else(|lacking| {
            let interface = read(bytes, WasmFeatures::all()).map_err(|error| {
                format!("it is a damaged component: {error}. Build the hooks again, and copy the file whole")
            })?;
            Ok::<_, String>(Self { lacking: Some(lacking), ..interface })
        })?;
        if interface.is_wit_package() {
            return Err("it is a WIT package in binary form, and has no code: build the hooks themselves".to_owned());
        }
        Ok(interface)
    }

    /// The types that the items are made of.
    pub(crate) fn types(&self) -> TypesRef<'_> {
        self.types.as_ref()
    }

    /// What it imports, by name, in its order.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let item = |name| self.types.component_item_for_import(name);
        self.imports.iter().filter_map(move |name| Some((name.as_str(), item(name)?)))
    }

    /// What it exports, by name, in its order.
    pub(crate) fn exports(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let item = |name| self.types.component_item_for_export(name);
        self.exports.iter().filter_map(move |name| Some((name.as_str(), item(name)?)))
    }

    /// Whether it has nothing but types of components.
    fn is_wit_package(&self) -> bool {
        let is_component_type = |item: &ComponentItem| {
            matches!(item.ty, ComponentEntityType::Type { created: ComponentAnyTypeId::Component(_), .. })
        };
        self.imports.is_empty() && !self.exports.is_empty() && self.exports().all(|(_, item)| is_component_type(item))
    }
}

/// Whether the bytes begin as those of a component do.
fn check_header(bytes: &[u8]) -> Result<(), String> {
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
    if bytes.starts_with(COMPONENT) {
        return Ok(());
    }
    let what = if COMPONENT.starts_with(bytes) || bytes.starts_with(b"\0asm") {
        "it is cut off, or of a WebAssembly version that gatling does not know"
    } else if bytes.starts_with(b"version https://git-lfs") {
        "it is a pointer of Git LFS, and the file itself was not pushed"
    } else {
        "it is no WebAssembly at all"
    };
    Err(format!("{what}: a hooks file is a WebAssembly component"))
}

fn read(bytes: &[u8], features: WasmFeatures) -> Result<ComponentInterface, String> {
    let cut_off = || "it ends too early".to_owned();
    let words = |error: BinaryReaderError| error.to_string();
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // How many components and modules the payload is inside of.
    let mut depth = 0_usize;
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(words)?;
        let validated = validator.payload(&payload).map_err(words)?;
        match payload {
            Payload::Version { .. } if depth == DEEPEST => {
                return Err(format!("its components nest deeper than {DEEPEST} levels"));
            }
            Payload::Version { .. } => depth += 1,
            // The parser takes the end of the bytes for the end of what is inside too.
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. }
                if unchecked_range.end > bytes.len() =>
            {
                return Err(cut_off());
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(words)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(words)?.name.name.to_owned());
                }
            }
            Payload::GlobalSection(section) if section.count() > MOST_GLOBALS => {
                return Err(format!("a module of it has more than {MOST_GLOBALS} globals"));
            }
            Payload::FunctionSection(section) if section.count() > MOST_FUNCTIONS => {
                return Err(format!("a module of it has more than {MOST_FUNCTIONS} functions"));
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let ValidPayload::End(types) = validated
            && depth == 0
        {
            return Ok(ComponentInterface { types, imports, exports, lacking: None });
        }
    }
    Err(cut_off())
}
