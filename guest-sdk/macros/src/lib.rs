//! The attribute of the crate `gatling-hooks`, which is where to read about it.

mod check;
mod expand;
mod names;
mod world;

use proc_macro::TokenStream;

/// Described where `gatling-hooks` exports it.
#[proc_macro_attribute]
pub fn hooks(arguments: TokenStream, module: TokenStream) -> TokenStream {
    expand::expand(arguments.into(), module.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
