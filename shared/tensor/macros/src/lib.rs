//! `#[derive(Module)]` for code that is written for burn's.

use proc_macro::TokenStream;

/// Accepts what burn's derive accepts, and makes nothing: there is nobody to train or to move what is derived for.
#[proc_macro_derive(Module, attributes(module))]
pub fn module(_: TokenStream) -> TokenStream {
    TokenStream::new()
}
