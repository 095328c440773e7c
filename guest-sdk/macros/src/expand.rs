//! Expands the module that the author has written.

use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{AttrStyle, Error, FnArg, Ident, Item, ItemFn, ItemMod, ReturnType, Visibility};

use crate::{check, world};

/// The module with the prelude in scope, followed by the code that makes it a component.
///
/// If a hook is invalid, the expansion contains the errors and also the module, so that callers of its functions,
/// such as tests, don't cause more errors.
pub(crate) fn expand(arguments: TokenStream, module: TokenStream) -> Result<TokenStream, Error> {
    if !arguments.is_empty() {
        return Err(Error::new(arguments.span(), "`hooks` takes no arguments: write `#[gatling_hooks::hooks]`"));
    }
    let module = match syn::parse2(module)? {
        Item::Mod(module) => module,
        other => {
            return Err(Error::new(other.span(), "put `#[gatling_hooks::hooks]` on a module: `mod hooks { ... }`"));
        }
    };
    let Some((_, items)) = &module.content else {
        return Err(Error::new(
            module.span(),
            "write the hooks here, as `mod hooks { ... }`: the attribute can't read other files",
        ));
    };

    let written: Vec<&ItemFn> = items.iter().filter_map(public_function).collect();
    let mut errors = TokenStream::new();
    let mut hooks = Vec::new();
    for function in &written {
        match check::check(function) {
            Ok(()) => hooks.push(*function),
            Err(error) => errors.extend(error.into_compile_error()),
        }
    }
    if written.is_empty() {
        let error = Error::new(
            module.ident.span(),
            "there is no hook in this module: write one as \
             `pub fn before_mix_compile(env: &Env) -> Result<()>`",
        );
        errors.extend(error.into_compile_error());
    }

    let calls = hooks.iter().map(|function| call(function));
    let component = component(&hooks);
    let ItemMod { attrs, vis, unsafety, ident, .. } = &module;
    let (outer, inner): (Vec<_>, Vec<_>) =
        attrs.iter().partition(|attribute| matches!(attribute.style, AttrStyle::Outer));
    Ok(quote! {
        #errors

        // Hooks must be `pub`, even in a private module.
        #[allow(unreachable_pub)]
        #(#outer)*
        #vis #unsafety mod #ident {
            #(#inner)*

            #[allow(unused_imports)]
            use ::gatling_hooks::prelude::*;

            #(#items)*

            // Only called on wasm, but compiled for every target.
            #[doc(hidden)]
            #[allow(dead_code)]
            mod __calls {
                #(#calls)*
            }

            #component
        }
    })
}

fn public_function(item: &Item) -> Option<&ItemFn> {
    match item {
        Item::Fn(function) if matches!(function.vis, Visibility::Public(_)) => Some(function),
        _ => None,
    }
}

/// A function that calls the hook and converts its outcome to the contract's type. Its tokens have the spans of the
/// hook's types, so that the compiler reports a wrong type there.
fn call(function: &ItemFn) -> TokenStream {
    let name = &function.sig.ident;
    // With call-site hygiene, because the hook may be written by a `macro_rules!` macro.
    let arguments = function.sig.inputs.iter().zip(["env", "failure"]).map(|(input, argument)| {
        let span = match input {
            FnArg::Typed(typed) => typed.ty.span(),
            FnArg::Receiver(_) => name.span(),
        };
        Ident::new(argument, span.resolved_at(Span::call_site()))
    });
    let returned = match &function.sig.output {
        ReturnType::Type(_, kind) => kind.span(),
        ReturnType::Default => name.span(),
    };
    let outcome = quote_spanned!(returned=> super::#name(#(#arguments),*));
    let finished = quote_spanned!(returned=> ::gatling_hooks::__private::Outcome::finish(#outcome));
    let failure = failure_parameter(name, &quote!(&::gatling_hooks::Failure));
    quote! {
        pub(super) fn #name(
            env: &::gatling_hooks::Env,
            #failure
        ) -> ::core::result::Result<(), ::std::string::String> {
            #finished
        }
    }
}

/// The parameter for a failure, which only `on_failure` has.
fn failure_parameter(name: &Ident, kind: &TokenStream) -> TokenStream {
    if name == world::ON_FAILURE { quote!(failure: #kind,) } else { TokenStream::new() }
}

/// The bindings that export the hooks, only for wasm. For other targets, the module is plain Rust.
fn component(hooks: &[&ItemFn]) -> TokenStream {
    let names: Vec<_> = hooks.iter().map(|function| &function.sig.ident).collect();
    let texts: Vec<_> = names.iter().map(ToString::to_string).collect();
    let world = world::text(&texts);
    let world_name = world::NAME;
    let shared_failures = world::uses_failure(&texts)
        .then(|| quote!("gatling:hooks/failures@1.2.0": ::gatling_hooks::__private::failures,));
    let exports = names.iter().map(|name| {
        let parameter = failure_parameter(name, &quote!(Failure));
        let argument = (*name == world::ON_FAILURE).then(|| quote!(&failure));
        quote! {
            fn #name(env: Env, #parameter) -> ::core::result::Result<(), ::std::string::String> {
                super::__calls::#name(&env, #argument)
            }
        }
    });
    // Without the empty list of paths, an author's own folder `wit` would be read.
    quote! {
        #[cfg(target_family = "wasm")]
        #[doc(hidden)]
        mod __component {
            ::gatling_hooks::__private::wit_bindgen::generate!({
                inline: #world,
                path: [],
                world: #world_name,
                with: {
                    "gatling:hooks/types@1.2.0": ::gatling_hooks::__private::types,
                    #shared_failures
                },
                runtime_path: "::gatling_hooks::__private::wit_bindgen::rt",
            });

            struct Component;

            impl Guest for Component {
                #(#exports)*
            }

            export!(Component with_types_in self);
        }
    }
}
