//! Types of the component model, as a component has them and as the contract has them, side by
//! side. It is the contract's that lead: nothing is looked at that they have no counterpart of.

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

/// The contract, and what a component makes of it.
#[derive(Clone, Copy)]
pub(crate) struct Comparison<'a> {
    pub(crate) types: TypesRef<'a>,
    pub(crate) contract: &'a Resolve,
}

impl Comparison<'_> {
    /// Whether a type is the one in the contract.
    ///
    /// # Errors
    /// Says where they differ, `place` being the name of the whole.
    pub(crate) fn same(self, theirs: &ComponentValType, ours: &Type, place: &str) -> Result<(), String> {
        let alike = match kind(self.contract, ours) {
            Kind::Primitive(ours) => primitive(self.types, theirs) == Some(ours),
            Kind::Defined(ours) => match defined(self.types, theirs) {
                Some(theirs) => return self.same_defined(theirs, ours, place),
                None => false,
            },
        };
        if alike { Ok(()) } else { differs(place) }
    }

    /// Whether a function has the type, and its parameters the names, that it has in the contract.
    pub(crate) fn is_same_function(self, theirs: &ComponentFuncType, ours: &Function) -> bool {
        let parameters = theirs.params.iter().zip(&ours.params);
        theirs.async_ == ours.kind.is_async()
            && theirs.params.len() == ours.params.len()
            && parameters.into_iter().all(|((name, theirs), ours)| {
                name.as_str() == ours.name && self.same(theirs, &ours.ty, &ours.name).is_ok()
            })
            && self.both(&theirs.result, &ours.result, "the result").is_ok()
    }

    fn same_defined(self, theirs: &ComponentDefinedType, ours: &TypeDefKind, place: &str) -> Result<(), String> {
        use ComponentDefinedType as Theirs;
        match (theirs, ours) {
            (Theirs::List { element: theirs, .. }, TypeDefKind::List(ours))
            | (Theirs::Option { ty: theirs, .. }, TypeDefKind::Option(ours)) => self.same(theirs, ours, place),
            (Theirs::Result { ok, err, .. }, TypeDefKind::Result(ours)) => {
                self.both(ok, &ours.ok, place)?;
                self.both(err, &ours.err, place)
            }
            (Theirs::Tuple(theirs), TypeDefKind::Tuple(ours)) if theirs.types.len() == ours.types.len() => {
                theirs.types.iter().zip(&ours.types).try_for_each(|(theirs, ours)| self.same(theirs, ours, place))
            }
            (Theirs::Record(theirs), TypeDefKind::Record(ours)) => {
                for ((name, theirs), ours) in theirs.fields.iter().zip(&ours.fields) {
                    if name.as_str() != ours.name {
                        return Err(format!("{place} has {name} where the contract has {}", ours.name));
                    }
                    self.same(theirs, &ours.ty, &format!("{place}.{name}"))?;
                }
                match theirs.fields.len().cmp(&ours.fields.len()) {
                    Ordering::Equal => Ok(()),
                    _ => Err(format!(
                        "{place} has {} fields, and in the contract it has {}",
                        theirs.fields.len(),
                        ours.fields.len()
                    )),
                }
            }
            (Theirs::Variant(theirs), TypeDefKind::Variant(ours)) if theirs.cases.len() == ours.cases.len() => {
                theirs.cases.iter().zip(&ours.cases).try_for_each(|((name, theirs), ours)| {
                    if name.as_str() == ours.name { self.both(&theirs.ty, &ours.ty, place) } else { differs(place) }
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
            // Which resource it is, is left to whoever links them.
            (Theirs::Own(_), TypeDefKind::Handle(Handle::Own(_)))
            | (Theirs::Borrow(_), TypeDefKind::Handle(Handle::Borrow(_))) => Ok(()),
            _ => differs(place),
        }
    }

    fn both(self, theirs: &Option<ComponentValType>, ours: &Option<Type>, place: &str) -> Result<(), String> {
        match (theirs, ours) {
            (None, None) => Ok(()),
            (Some(theirs), Some(ours)) => self.same(theirs, ours, place),
            _ => differs(place),
        }
    }
}

fn differs(place: &str) -> Result<(), String> {
    Err(format!("{place} is not as in the contract"))
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
