//! Panics of libraries that read strangers' files, as errors.

use crate::Error;

/// Runs `work`, in which a library may panic where it should have refused its input, and makes an
/// error of that. A page, where a panic can't be caught, has no such library.
pub(crate) fn guard<T>(
    error: fn(String) -> Error,
    work: impl FnOnce() -> Result<T, Error>,
) -> Result<T, Error> {
    // What the library left half done is dropped with its own values.
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    outcome.unwrap_or_else(|_| Err(error("it cannot be run; its library failed".to_owned())))
}
