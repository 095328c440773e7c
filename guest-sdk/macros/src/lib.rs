//! The attribute macro of the crate `gatling-hooks`, which has its documentation.

mod check;
mod expand;
mod names;
mod world;

use proc_macro::TokenStream;

/// Documented at its re-export in `gatling-hooks`.
#[proc_macro_attribute]
pub fn hooks(arguments: TokenStream, module: TokenStream) -> TokenStream {
    expand::expand(arguments.into(), module.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
