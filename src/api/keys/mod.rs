//! Who calls, and what that caller may do.
//!
//! A key is shown once, when it is made; the configuration holds its id and its SHA-256. Keys of one name are
//! one caller: its rights, its quotas and its batches. Without any key configured everybody is one caller that
//! may do everything.

pub mod attempts;
pub mod authenticate;
pub mod caller;
pub mod key;
pub mod quota;
pub mod rate_limit;
pub mod ring;
pub mod settings;

#[cfg(test)]
mod tests;
