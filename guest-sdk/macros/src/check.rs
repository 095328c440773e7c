//! Checks that a `pub fn` is a valid hook.

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{Error, FnArg, Ident, ItemFn, ReturnType, Safety, Signature, Type};

use crate::names;
use crate::world::ON_FAILURE;

/// The signature of a hook, as a hint for messages.
fn hint(hook: &Ident) -> String {
    let failure = if hook == ON_FAILURE { ", failure: &Failure" } else { "" };
    format!("write it as `pub fn {hook}(env: &Env{failure}) -> Result<()>`")
}

/// Checks that `function` is a valid hook. The error has the span of the problem.
pub(crate) fn check(function: &ItemFn) -> Result<(), Error> {
    let signature = &function.sig;
    let name = signature.ident.to_string();
    if !names::is_hook(&name) {
        let nearest = names::nearest(&name);
        return Err(Error::new(
            signature.ident.span(),
            format!(
                "no step has a hook `{name}`; the nearest is `{nearest}`. \
                 If this is a helper, remove its `pub`"
            ),
        ));
    }
    if let Some(condition) = function.attrs.iter().find(|a| a.path().is_ident("cfg")) {
        return Err(Error::new(
            condition.span(),
            "a hook can't depend on a `cfg`, because the component exports it in any case. \
             Move the condition into its body",
        ));
    }
    modifiers(signature)?;
    parameters(signature)?;
    result(signature)
}

/// A hook must be a plain function: Gatling can't await it or choose its type parameters.
fn modifiers(signature: &Signature) -> Result<(), Error> {
    let modifier: Option<(Span, &str)> = if let Some(token) = &signature.asyncness {
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
    match modifier {
        None => Ok(()),
        Some((span, what)) => Err(Error::new(span, format!("a hook can't be {what}: {}", hint(&signature.ident)))),
    }
}

/// A hook borrows the env, and `on_failure` also borrows the failure.
fn parameters(signature: &Signature) -> Result<(), Error> {
    let hint = hint(&signature.ident);
    let takes: &[&str] = if signature.ident == ON_FAILURE { &["env", "failure"] } else { &["env"] };
    let all = takes.join(" and the ");
    let mut parameters = signature.inputs.iter();
    for what in takes {
        let Some(parameter) = parameters.next() else {
            return Err(Error::new(signature.paren_token.span.join(), format!("a hook takes the {all}: {hint}")));
        };
        borrowed(parameter, what, &hint)?;
    }
    match parameters.next() {
        None => Ok(()),
        Some(further) => Err(Error::new(further.span(), format!("a hook takes nothing but the {all}: {hint}"))),
    }
}

fn borrowed(parameter: &FnArg, what: &str, hint: &str) -> Result<(), Error> {
    let kind = match parameter {
        FnArg::Typed(typed) => ungrouped(&typed.ty),
        FnArg::Receiver(receiver) => {
            return Err(Error::new(receiver.span(), format!("a hook has no `self`: {hint}")));
        }
    };
    match kind {
        Type::Reference(reference) if reference.mutability.is_none() => Ok(()),
        Type::Reference(reference) => {
            Err(Error::new(reference.span(), format!("a hook can't change the {what}: {hint}")))
        }
        other => Err(Error::new(other.span(), format!("a hook borrows the {what}: {hint}"))),
    }
}

/// Refuses types that can't be valid. The compiler checks named types, because only it can resolve the name.
fn result(signature: &Signature) -> Result<(), Error> {
    let ReturnType::Type(_, kind) = &signature.output else {
        return Ok(());
    };
    match ungrouped(kind) {
        Type::Path(_) => Ok(()),
        Type::Tuple(tuple) if tuple.elems.is_empty() => Ok(()),
        other => {
            Err(Error::new(other.span(), format!("a hook returns `Result<()>` or nothing: {}", hint(&signature.ident))))
        }
    }
}

/// The type itself, without the invisible group that a `macro_rules!` macro adds.
fn ungrouped(kind: &Type) -> &Type {
    match kind {
        Type::Group(group) => ungrouped(&group.elem),
        other => other,
    }
}
