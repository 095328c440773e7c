//! The interface of a component: its imports and exports, with their types.
//!
//! The bytes are pushed by a user and not trusted. So every section is validated before it is used: the validator
//! limits the number of items, the size of types and how deep they nest. Function bodies are validated when they
//! are compiled.

use wasmparser::component_types::{ComponentAnyTypeId, ComponentEntityType, ComponentItem};
use wasmparser::types::{Types, TypesRef};
use wasmparser::{BinaryReaderError, Parser, Payload, ValidPayload, Validator, WasmFeatures};

/// The WebAssembly features that Gatling supports: wasmtime's defaults, without those that need parts of wasmtime
/// that Gatling is built without.
pub(crate) const FEATURES: WasmFeatures = WasmFeatures::WASM3
    .union(WasmFeatures::COMPONENT_MODEL)
    .difference(WasmFeatures::GC_TYPES)
    .difference(WasmFeatures::EXCEPTIONS)
    .difference(WasmFeatures::THREADS);

/// How deep components may nest. Components from real toolchains have two or three levels, and each level costs
/// as much time as everything inside of it.
const MAX_DEPTH: usize = 100;

/// How many globals and functions a module may have: each instance needs some of Gatling's own memory for each of
/// them. Python's modules have some 60,000 functions.
const MAX_GLOBALS: u32 = 100_000;
const MAX_FUNCTIONS: u32 = 400_000;

/// The interface of a component.
pub(crate) struct ComponentInterface {
    types: Types,
    imports: Vec<String>,
    exports: Vec<String>,
    /// Why the component needs a WebAssembly feature that Gatling does not support, if it does.
    pub(crate) unsupported: Option<String>,
}

impl ComponentInterface {
    /// Reads the interface from the bytes of a component.
    ///
    /// # Errors
    /// When they are not a valid component. The error says what they are, and what to do.
    pub(crate) fn of(bytes: &[u8]) -> Result<Self, String> {
        check_header(bytes)?;
        let interface = read(bytes, FEATURES).or_else(|unsupported| {
            let interface = read(bytes, WasmFeatures::all()).map_err(|error| {
                format!("it is a damaged component: {error}. Build the hooks again, and copy the whole file")
            })?;
            Ok::<_, String>(Self { unsupported: Some(unsupported), ..interface })
        })?;
        if interface.is_wit_package() {
            return Err("it is a WIT package in binary form, without code: build the hooks themselves".to_owned());
        }
        Ok(interface)
    }

    /// The types that its items refer to.
    pub(crate) fn types(&self) -> TypesRef<'_> {
        self.types.as_ref()
    }

    /// Its imports, with their names, in order.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let item = |name| self.types.component_item_for_import(name);
        self.imports.iter().filter_map(move |name| Some((name.as_str(), item(name)?)))
    }

    /// Its exports, with their names, in order.
    pub(crate) fn exports(&self) -> impl Iterator<Item = (&str, &ComponentItem)> {
        let item = |name| self.types.component_item_for_export(name);
        self.exports.iter().filter_map(move |name| Some((name.as_str(), item(name)?)))
    }

    /// Whether it exports only component types.
    fn is_wit_package(&self) -> bool {
        let is_component_type = |item: &ComponentItem| {
            matches!(item.ty, ComponentEntityType::Type { created: ComponentAnyTypeId::Component(_), .. })
        };
        self.imports.is_empty() && !self.exports.is_empty() && self.exports().all(|(_, item)| is_component_type(item))
    }
}

/// Checks that the bytes start with the header of a component.
fn check_header(bytes: &[u8]) -> Result<(), String> {
    const MODULE: &[u8] = b"\0asm\x01\0\0\0";
    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    if bytes.is_empty() {
        return Err("it is empty: build the hooks again, and check whether the disk is full".to_owned());
    }
    if bytes.starts_with(MODULE) {
        return Err("it is a core WebAssembly module, but a hooks file must be a component: build it for the target \
                    wasm32-wasip2, or convert it with `wasm-tools component new`"
            .to_owned());
    }
    if bytes.starts_with(COMPONENT) {
        return Ok(());
    }
    let what = if COMPONENT.starts_with(bytes) || bytes.starts_with(b"\0asm") {
        "it is truncated, or has a WebAssembly version that Gatling does not support"
    } else if bytes.starts_with(b"version https://git-lfs") {
        "it is a Git LFS pointer: the file itself was not pushed"
    } else {
        "it is not a WebAssembly file"
    };
    Err(format!("{what}. A hooks file must be a WebAssembly component"))
}

fn read(bytes: &[u8], features: WasmFeatures) -> Result<ComponentInterface, String> {
    let truncated = || "it ends too early".to_owned();
    let message = |error: BinaryReaderError| error.to_string();
    let mut validator = Validator::new_with_features(features);
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let (mut imports, mut exports) = (Vec::new(), Vec::new());
    // How many components and modules enclose the payload.
    let mut depth = 0_usize;
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(message)?;
        let validated = validator.payload(&payload).map_err(message)?;
        match payload {
            Payload::Version { .. } if depth == MAX_DEPTH => {
                return Err(format!("its components nest deeper than {MAX_DEPTH} levels"));
            }
            Payload::Version { .. } => depth += 1,
            // At the end of the bytes, the parser also ends everything that is still open.
            Payload::ModuleSection { unchecked_range, .. } | Payload::ComponentSection { unchecked_range, .. }
                if unchecked_range.end > bytes.len() =>
            {
                return Err(truncated());
            }
            Payload::ComponentImportSection(section) if depth == 1 => {
                for import in section {
                    imports.push(import.map_err(message)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 1 => {
                for export in section {
                    exports.push(export.map_err(message)?.name.name.to_owned());
                }
            }
            Payload::GlobalSection(section) if section.count() > MAX_GLOBALS => {
                return Err(format!("one of its modules has more than {MAX_GLOBALS} globals"));
            }
            Payload::FunctionSection(section) if section.count() > MAX_FUNCTIONS => {
                return Err(format!("one of its modules has more than {MAX_FUNCTIONS} functions"));
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            _ => {}
        }
        if let ValidPayload::End(types) = validated
            && depth == 0
        {
            return Ok(ComponentInterface { types, imports, exports, unsupported: None });
        }
    }
    Err(truncated())
}
