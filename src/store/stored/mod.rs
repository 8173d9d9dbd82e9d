//! The stored form of a batch: what engines write into their columns, as JSON or as packed bytes.
//!
//! Every document says its version; a version that this program does not know is unreadable, and so is anything
//! else that it did not write. Nothing here does I/O.

pub(crate) mod columns;
mod json;
pub(crate) mod listing;
mod message;
mod outcomes;
pub(crate) mod packed;
mod route;
pub(crate) mod rows;

#[cfg(test)]
pub(crate) mod samples;
#[cfg(test)]
mod tests;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::store::StoreError;

/// The version of everything that is written and says no other.
const VERSION: u8 = 1;

/// Looks up the name of a provider that this program has.
pub(crate) type Providers = fn(&str) -> Option<&'static str>;

/// Why something stored cannot be understood.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Unreadable(pub(crate) String);

impl Unreadable {
    pub(crate) fn new(detail: impl Into<String>) -> Self {
        Self(detail.into())
    }
}

impl From<Unreadable> for StoreError {
    fn from(unreadable: Unreadable) -> Self {
        Self::Corrupt(unreadable.0)
    }
}

#[derive(Serialize, Deserialize)]
struct Document<T> {
    v: u8,
    is: T,
}

/// Writes a JSON document with its version.
pub(crate) fn to_document<T: Serialize>(is: T) -> Result<String, Unreadable> {
    to_document_of(VERSION, is)
}

/// Reads what [`to_document`] wrote.
pub(crate) fn from_document<T: DeserializeOwned>(text: &str) -> Result<T, Unreadable> {
    from_document_of(&[VERSION], text)
}

/// Writes a JSON document with a version of its own.
fn to_document_of<T: Serialize>(v: u8, is: T) -> Result<String, Unreadable> {
    serde_json::to_string(&Document { v, is }).map_err(|error| Unreadable(error.to_string()))
}

/// Reads a JSON document of one of these versions.
fn from_document_of<T: DeserializeOwned>(versions: &[u8], text: &str) -> Result<T, Unreadable> {
    let document: Document<T> = serde_json::from_str(text).map_err(|error| Unreadable(error.to_string()))?;
    if versions.contains(&document.v) { Ok(document.is) } else { Err(Unreadable::new("unknown version")) }
}
