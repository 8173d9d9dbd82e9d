//! The normalized model: what a caller asks for and what became of it.
//!
//! No I/O, no serde, no provider. JSON that imcast only passes on is a [`json::JsonText`].

pub mod batch;
pub mod bytes;
pub mod callback;
pub mod failure;
pub mod fault;
pub mod id;
pub mod json;
pub mod message;
pub mod outcome;
pub mod recipients;
pub mod report;
pub mod route;
#[cfg(test)]
pub(crate) mod samples;
