//! What is wrong with a command line or with a file that it names; nothing was sent.

use std::io;

use crate::domain::json::JsonTextError;

/// Why nothing can be made of what was given; shows no key.
#[derive(Debug, thiserror::Error)]
pub(super) enum InputError {
    #[error("{name} cannot be read")]
    Unreadable { name: String, source: io::Error },
    #[error("{name} is longer than any request")]
    TooLong { name: String },
    #[error("{name}, line {number}: {detail}")]
    Line { name: String, number: usize, detail: String },
    #[error("there is no recipient")]
    NoRecipient,
    #[error("standard input can be named once")]
    InputTwice,
    #[error("--{option}: not valid JSON")]
    Json { option: &'static str, source: serde_json::Error },
    #[error("--{option}: cannot be sent")]
    Unusable { option: &'static str, source: JsonTextError },
    #[error("--{option}: must be a JSON object, or @ and the name of a file with one")]
    NoObject { option: &'static str },
    #[error("--{option}: the file is not UTF-8")]
    NoText { option: &'static str },
    #[error("the URL must read http://host:port or https://host:port, without a name, password or query")]
    Url,
    #[error("the key holds characters that no key has")]
    Key,
    #[error("an idempotency key has 1 to 255 visible ASCII characters")]
    IdempotencyKey,
}
