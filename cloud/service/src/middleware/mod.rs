//! What happens to every request, whatever its route.

mod auth;
mod headers;
mod observe;
mod private;

pub(crate) use auth::require_key;
pub(crate) use headers::{cors, security_headers};
pub(crate) use observe::{REQUEST_ID, observe};
pub(crate) use private::refuse_private;
