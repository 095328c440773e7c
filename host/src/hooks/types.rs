//! Types of the component model, read from a component and from the contract, side by side.

use wit_parser::{Function, Resolve, Type, TypeDefKind};

/// Whether a type is `result<_, string>`.
pub(super) fn is_plain_result(resolve: &Resolve, ty: &Type) -> bool {
    match kind(resolve, ty) {
        Some(TypeDefKind::Result(result)) => {
            result.ok.is_none() && result.err.as_ref().is_some_and(|ty| *resolved(resolve, ty) == Type::String)
        }
        _ => false,
    }
}

/// The type that an alias stands for.
fn resolved<'a>(resolve: &'a Resolve, ty: &'a Type) -> &'a Type {
    match ty {
        Type::Id(id) => match &resolve.types[*id].kind {
            TypeDefKind::Type(inner) => resolved(resolve, inner),
            _ => ty,
        },
        _ => ty,
    }
}

fn kind<'a>(resolve: &'a Resolve, ty: &'a Type) -> Option<&'a TypeDefKind> {
    match resolved(resolve, ty) {
        Type::Id(id) => Some(&resolve.types[*id].kind),
        _ => None,
    }
}

/// Whether two types are the same to the component model.
///
/// # Errors
/// Says where they differ, `place` being the name of the whole.
pub(super) fn same(a: &Resolve, left: &Type, b: &Resolve, right: &Type, place: &str) -> Result<(), String> {
    let differs = || Err(format!("{place} is not as in the contract"));
    match (kind(a, left), kind(b, right)) {
        (None, None) if resolved(a, left) == resolved(b, right) => Ok(()),
        (Some(TypeDefKind::List(left)), Some(TypeDefKind::List(right)))
        | (Some(TypeDefKind::Option(left)), Some(TypeDefKind::Option(right))) => same(a, left, b, right, place),
        (Some(TypeDefKind::Record(left)), Some(TypeDefKind::Record(right))) => {
            for (mine, theirs) in left.fields.iter().zip(&right.fields) {
                if mine.name != theirs.name {
                    return Err(format!("{place} has {} where the contract has {}", mine.name, theirs.name));
                }
                same(a, &mine.ty, b, &theirs.ty, &format!("{place}.{}", mine.name))?;
            }
            match left.fields.len().cmp(&right.fields.len()) {
                std::cmp::Ordering::Equal => Ok(()),
                _ => Err(format!(
                    "{place} has {} fields, and in the contract it has {}",
                    left.fields.len(),
                    right.fields.len()
                )),
            }
        }
        _ => differs(),
    }
}

/// A function's type in words that are the same wherever the same type was read from.
pub(super) fn signature(resolve: &Resolve, function: &Function) -> String {
    let parameters: Vec<_> = function
        .params
        .iter()
        .map(|parameter| format!("{}: {}", parameter.name, words(resolve, &parameter.ty)))
        .collect();
    let result = function.result.as_ref().map(|ty| words(resolve, ty)).unwrap_or_default();
    format!("({}) -> {result}", parameters.join(", "))
}

fn words(resolve: &Resolve, ty: &Type) -> String {
    let option = |ty: &Option<Type>| ty.as_ref().map_or_else(|| "_".to_owned(), |ty| words(resolve, ty));
    match kind(resolve, ty) {
        None => format!("{:?}", resolved(resolve, ty)),
        Some(TypeDefKind::List(ty)) => format!("list<{}>", words(resolve, ty)),
        Some(TypeDefKind::Option(ty)) => format!("option<{}>", words(resolve, ty)),
        Some(TypeDefKind::Result(result)) => format!("result<{}, {}>", option(&result.ok), option(&result.err)),
        Some(TypeDefKind::Tuple(tuple)) => {
            format!("tuple<{}>", tuple.types.iter().map(|ty| words(resolve, ty)).collect::<Vec<_>>().join(", "))
        }
        Some(TypeDefKind::Record(record)) => {
            let fields: Vec<_> =
                record.fields.iter().map(|field| format!("{}: {}", field.name, words(resolve, &field.ty))).collect();
            format!("record {{{}}}", fields.join(", "))
        }
        Some(TypeDefKind::Enum(of)) => {
            format!("enum {{{}}}", of.cases.iter().map(|case| case.name.as_str()).collect::<Vec<_>>().join(", "))
        }
        Some(TypeDefKind::Variant(variant)) => {
            let cases: Vec<_> =
                variant.cases.iter().map(|case| format!("{}({})", case.name, option(&case.ty))).collect();
            format!("variant {{{}}}", cases.join(", "))
        }
        Some(other) => other.as_str().to_owned(),
    }
}
