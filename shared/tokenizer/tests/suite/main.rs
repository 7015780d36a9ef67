//! Hugging Face's library is what everything is compared with.

mod broken;
mod families;
mod texts;
mod tokens;
