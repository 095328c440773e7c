//! What a `pub fn` must be like to be a hook.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, ReturnType, Safety, Signature, Type};

use crate::names;
use crate::world::ON_FAILURE;

/// How a hook looks, for messages.
fn like(hook: &Ident) -> String {
    let failure = if hook == ON_FAILURE { ", failure: &Failure" } else { "" };
    format!("write it as `pub fn {hook}(env: &Env{failure}) -> Result<()>`")
}

/// Finds everything that keeps `function` from being a hook, at the place where it is wrong.
pub(crate) fn check(function: &ItemFn) -> Result<(), Error> {
    let signature = &function.sig;
    let name = signature.ident.to_string();
    if !names::is_hook(&name) {
        let nearest = names::nearest(&name);
        return Err(Error::new(
            signature.ident.span(),
            format!(
                "no step has a hook `{name}`; the nearest is `{nearest}`. \
                 If this is a helper, drop its `pub`"
            ),
        ));
    }
    if let Some(condition) = function.attrs.iter().find(|a| a.path().is_ident("cfg")) {
        return Err(Error::new(
            condition.span(),
            "a hook can't depend on a `cfg`: the component must export it or not. \
             Move the condition into its body",
        ));
    }
    modifiers(signature)?;
    parameters(signature)?;
    result(signature)
}

/// A hook is a plain function: Gatling can neither await it nor choose its type parameters.
fn modifiers(signature: &Signature) -> Result<(), Error> {
    let odd: Option<(Span, &str)> = if let Some(token) = &signature.asyncness {
        Some((token.span(), "`async`"))
    } else if let Safety::Unsafe(token) = &signature.safety {
        Some((token.span(), "`unsafe`"))
    } else if let Some(abi) = &signature.abi {
        Some((abi.span(), "`extern`"))
    } else if !signature.generics.params.is_empty() {
        Some((signature.generics.span(), "generic"))
    } else {
        None
    };
    match odd {
        None => Ok(()),
        Some((span, what)) => Err(Error::new(span, format!("a hook can't be {what}: {}", like(&signature.ident)))),
    }
}

/// A hook borrows the env, and the one for a failure borrows that too.
fn parameters(signature: &Signature) -> Result<(), Error> {
    let like = like(&signature.ident);
    let takes: &[&str] = if signature.ident == ON_FAILURE { &["env", "failure"] } else { &["env"] };
    let all = takes.join(" and the ");
    let mut parameters = signature.inputs.iter();
    for what in takes {
        let Some(parameter) = parameters.next() else {
            return Err(Error::new(signature.paren_token.span.join(), format!("a hook takes the {all}: {like}")));
        };
        borrowed(parameter, what, &like)?;
    }
    match parameters.next() {
        None => Ok(()),
        Some(further) => Err(Error::new(further.span(), format!("a hook takes nothing but the {all}: {like}"))),
    }
}

fn borrowed(parameter: &FnArg, what: &str, like: &str) -> Result<(), Error> {
    let kind = match parameter {
        FnArg::Typed(typed) => ungrouped(&typed.ty),
        FnArg::Receiver(receiver) => {
            return Err(Error::new(receiver.span(), format!("a hook has no `self`: {like}")));
        }
    };
    match kind {
        Type::Reference(reference) if reference.mutability.is_none() => Ok(()),
        Type::Reference(reference) => {
            Err(Error::new(reference.span(), format!("a hook can't change the {what}: {like}")))
        }
        other => Err(Error::new(other.span(), format!("a hook borrows the {what}: {like}"))),
    }
}

/// Refuses what can't be right; whether a named type will do is for the compiler to say, which
/// knows what the name stands for.
fn result(signature: &Signature) -> Result<(), Error> {
    let ReturnType::Type(_, kind) = &signature.output else {
        return Ok(());
    };
    match ungrouped(kind) {
        Type::Path(_) => Ok(()),
        Type::Tuple(tuple) if tuple.elems.is_empty() => Ok(()),
        other => {
            Err(Error::new(other.span(), format!("a hook returns `Result<()>` or nothing: {}", like(&signature.ident))))
        }
    }
}

/// The type itself, where a `macro_rules!` macro handed it over in an invisible group.
fn ungrouped(kind: &Type) -> &Type {
    match kind {
        Type::Group(group) => ungrouped(&group.elem),
        other => other,
    }
}
