//! Compares the types of a component with those of the contract. The comparison follows the contract's types,
//! so a component's types are only visited as far as the contract has a counterpart.

use std::cmp::Ordering;

use wasmparser::PrimitiveValType;
use wasmparser::component_types::{ComponentDefinedType, ComponentFuncType, ComponentValType};
use wasmparser::types::TypesRef;
use wit_parser::{Function, Handle, Resolve, Type, TypeDefKind};

/// Whether a type is `result<_, string>`.
pub(crate) fn is_plain_result(types: TypesRef<'_>, ty: &ComponentValType) -> bool {
    match defined(types, ty) {
        Some(ComponentDefinedType::Result { ok: None, err: Some(err), .. }) => {
            primitive(types, err) == Some(PrimitiveValType::String)
        }
        _ => false,
    }
}

/// A component's types and the contract to compare them with.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) types: TypesRef<'a>,
    pub(crate) contract: &'a Resolve,
}

impl Comparison<'_> {
    /// Checks that a type is the same as in the contract.
    ///
    /// # Errors
    /// Says where they differ; `path` is the path of the type, such as `env.version`.
    pub(crate) fn check_same(self, theirs: &ComponentValType, ours: &Type, path: &str) -> Result<(), String> {
        let is_same = match kind(self.contract, ours) {
            Kind::Primitive(ours) => primitive(self.types, theirs) == Some(ours),
            Kind::Defined(ours) => match defined(self.types, theirs) {
                Some(theirs) => return self.check_same_defined(theirs, ours, path),
                None => false,
            },
        };
        if is_same { Ok(()) } else { differs(path) }
    }

    /// Whether a function has the same type and the same parameter names as in the contract.
    pub(crate) fn is_same_function(self, theirs: &ComponentFuncType, ours: &Function) -> bool {
        let parameters = theirs.params.iter().zip(&ours.params);
        theirs.async_ == ours.kind.is_async()
            && theirs.params.len() == ours.params.len()
            && parameters.into_iter().all(|((name, theirs), ours)| {
                name.as_str() == ours.name && self.check_same(theirs, &ours.ty, &ours.name).is_ok()
            })
            && self.check_optional(&theirs.result, &ours.result, "the result").is_ok()
    }

    fn check_same_defined(self, theirs: &ComponentDefinedType, ours: &TypeDefKind, path: &str) -> Result<(), String> {
        use ComponentDefinedType as Theirs;
        match (theirs, ours) {
            (Theirs::List { element: theirs, .. }, TypeDefKind::List(ours))
            | (Theirs::Option { ty: theirs, .. }, TypeDefKind::Option(ours)) => self.check_same(theirs, ours, path),
            (Theirs::Result { ok, err, .. }, TypeDefKind::Result(ours)) => {
                self.check_optional(ok, &ours.ok, path)?;
                self.check_optional(err, &ours.err, path)
            }
            (Theirs::Tuple(theirs), TypeDefKind::Tuple(ours)) if theirs.types.len() == ours.types.len() => {
                theirs.types.iter().zip(&ours.types).try_for_each(|(theirs, ours)| self.check_same(theirs, ours, path))
            }
            (Theirs::Record(theirs), TypeDefKind::Record(ours)) => {
                for ((name, theirs), ours) in theirs.fields.iter().zip(&ours.fields) {
                    if name.as_str() != ours.name {
                        return Err(format!("{path} has the field {name} where the contract has {}", ours.name));
                    }
                    self.check_same(theirs, &ours.ty, &format!("{path}.{name}"))?;
                }
                match theirs.fields.len().cmp(&ours.fields.len()) {
                    Ordering::Equal => Ok(()),
                    _ => Err(format!("{path} has {} fields instead of {}", theirs.fields.len(), ours.fields.len())),
                }
            }
            (Theirs::Variant(theirs), TypeDefKind::Variant(ours)) if theirs.cases.len() == ours.cases.len() => {
                theirs.cases.iter().zip(&ours.cases).try_for_each(|((name, theirs), ours)| {
                    if name.as_str() == ours.name {
                        self.check_optional(&theirs.ty, &ours.ty, path)
                    } else {
                        differs(path)
                    }
                })
            }
            (Theirs::Enum(names), TypeDefKind::Enum(ours))
                if names.iter().map(|name| name.as_str()).eq(ours.cases.iter().map(|case| case.name.as_str())) =>
            {
                Ok(())
            }
            (Theirs::Flags(names), TypeDefKind::Flags(ours))
                if names.iter().map(|name| name.as_str()).eq(ours.flags.iter().map(|flag| flag.name.as_str())) =>
            {
                Ok(())
            }
            // The linker checks which resource it is.
            (Theirs::Own(_), TypeDefKind::Handle(Handle::Own(_)))
            | (Theirs::Borrow(_), TypeDefKind::Handle(Handle::Borrow(_))) => Ok(()),
            _ => differs(path),
        }
    }

    fn check_optional(self, theirs: &Option<ComponentValType>, ours: &Option<Type>, path: &str) -> Result<(), String> {
        match (theirs, ours) {
            (None, None) => Ok(()),
            (Some(theirs), Some(ours)) => self.check_same(theirs, ours, path),
            _ => differs(path),
        }
    }
}

fn differs(path: &str) -> Result<(), String> {
    Err(format!("{path} does not have the type that it has in the contract"))
}

fn defined<'a>(types: TypesRef<'a>, ty: &ComponentValType) -> Option<&'a ComponentDefinedType> {
    match ty {
        ComponentValType::Type(id) => types.get(*id),
        ComponentValType::Primitive(_) => None,
    }
}

fn primitive(types: TypesRef<'_>, ty: &ComponentValType) -> Option<PrimitiveValType> {
    match (ty, defined(types, ty)) {
        (ComponentValType::Primitive(primitive), _) | (_, Some(ComponentDefinedType::Primitive(primitive))) => {
            Some(*primitive)
        }
        _ => None,
    }
}

/// A type of the contract, with all aliases followed.
enum Kind<'a> {
    Primitive(PrimitiveValType),
    Defined(&'a TypeDefKind),
}

fn kind<'a>(contract: &'a Resolve, ty: &Type) -> Kind<'a> {
    let primitive = match ty {
        Type::Id(id) => {
            return match &contract.types[*id].kind {
                TypeDefKind::Type(aliased) => kind(contract, aliased),
                kind => Kind::Defined(kind),
            };
        }
        Type::Bool => PrimitiveValType::Bool,
        Type::U8 => PrimitiveValType::U8,
        Type::U16 => PrimitiveValType::U16,
        Type::U32 => PrimitiveValType::U32,
        Type::U64 => PrimitiveValType::U64,
        Type::S8 => PrimitiveValType::S8,
        Type::S16 => PrimitiveValType::S16,
        Type::S32 => PrimitiveValType::S32,
        Type::S64 => PrimitiveValType::S64,
        Type::F32 => PrimitiveValType::F32,
        Type::F64 => PrimitiveValType::F64,
        Type::Char => PrimitiveValType::Char,
        Type::String => PrimitiveValType::String,
        Type::ErrorContext => PrimitiveValType::ErrorContext,
    };
    Kind::Primitive(primitive)
}
