//! `imcast openapi`: the document of the HTTP API, as the gateway serves it.

use std::io::Write;

use crate::api::document;
use crate::commands::CommandError;
use crate::providers::REGISTRY;

/// Prints the document.
pub(super) fn run(output: &mut dyn Write) -> Result<(), CommandError> {
    Ok(output.write_all(document::text(REGISTRY)?.as_bytes())?)
}
