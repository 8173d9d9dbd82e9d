//! The contract as an OpenAPI 3.1 document: what it describes is made by the rest of `api`.
//!
//! Lists of words, numbers and fields come from the code that reads and writes them; tests compare the rest with
//! it. `docs/openapi.json` is the same document, for readers of the source.

mod channel;
mod example;
mod message;
mod operations;
#[cfg(feature = "swagger-ui")]
pub mod page;
mod plan;
mod problem;
mod report;
mod request;
mod schema;

use std::sync::OnceLock;

use axum::extract::State as FromState;
use axum::response::Response;
use bytes::Bytes;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, License, OpenApi, OpenApiBuilder, PathItem, PathsBuilder,
    SecurityRequirement, Server, Tag,
};

use crate::adapter::channel::Provider;
use crate::api::answer;
use crate::api::document::operations::Described;
use crate::api::problem::{Problem, ProblemCode};
use crate::api::router::State;

/// What a reader should know first.
const ABOUT: &str = "One HTTP gateway in front of many instant-messaging providers: one batch, one honest \
                     report that names every recipient exactly once.\n\nErrors are problem details (RFC 9457). \
                     A path without a method answers 405 `method_not_allowed` with `allow`, an unknown path 404 \
                     `not_found`. Every provider call is decided before the answer: after a 4xx or 5xx nothing \
                     was sent.";

/// The name of the security scheme.
const KEY: &str = "key";

/// The document, written when it is first asked for; lives as long as the router.
#[derive(Default)]
pub struct Document(OnceLock<Bytes>);

/// Why the document cannot be written: a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("the document of the API cannot be written")]
pub struct WriteError(#[from] serde_json::Error);

/// Answers with the document.
///
/// # Errors
/// A [`Problem`] if this program is faulty.
pub async fn read(FromState(state): FromState<State>) -> Result<Response, Problem> {
    let text = match state.document.0.get() {
        Some(text) => text.clone(),
        None => {
            let text = text(state.api.providers).map_err(|error| {
                tracing::error!(%error, "The document cannot be written.");
                Problem::new(ProblemCode::Internal, error.to_string())
            })?;
            state.document.0.get_or_init(|| text.into()).clone()
        }
    };
    Ok(answer::with_type("application/json", text))
}

/// Writes the document of a gateway with these providers, for people to read.
///
/// # Errors
/// [`WriteError`].
pub fn text(providers: &[Provider]) -> Result<String, WriteError> {
    let mut text = serde_json::to_string_pretty(&build(providers))?;
    text.push('\n');
    Ok(text)
}

fn build(providers: &[Provider]) -> OpenApi {
    let described = operations::all();
    let components = components(providers, &described);
    let paths = described.into_iter().fold(PathsBuilder::new(), |paths, one| {
        paths.path(one.path, PathItem::new(one.method, one.operation))
    });
    let info = InfoBuilder::new()
        .title("imcast")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(ABOUT))
        .license(Some(License::builder().name("Apache-2.0").identifier(Some("Apache-2.0")).build()));
    let no_scopes: [&str; 0] = [];
    OpenApiBuilder::new()
        .info(info)
        .servers(Some([Server::builder().url("/").description(Some("This gateway.")).build()]))
        .security(Some([SecurityRequirement::new(KEY, no_scopes)]))
        .tags(Some(tags()))
        .paths(paths)
        .components(Some(components))
        .build()
}

fn components(providers: &[Provider], described: &[Described]) -> Components {
    let schemas = [
        message::schemas(),
        request::schemas(providers),
        report::schemas(),
        plan::schemas(),
        channel::schemas(),
        problem::schemas(),
    ];
    let all = ComponentsBuilder::new();
    let all = schemas.into_iter().flatten().fold(all, |all, (name, schema)| all.schema(name, schema));
    let all = operations::parameters::parameters()
        .into_iter()
        .fold(all, |all, (name, one)| all.parameter(name, one));
    let groups = described.iter().flat_map(|one| &one.refusals);
    let all = groups.fold(all, |all, group| all.response(problem::name(group), problem::answer(group)));
    let mut key = Http::new(HttpAuthScheme::Bearer);
    key.description = Some("A key of `imcast keygen`; asked for once the configuration has one.".to_owned());
    all.header(problem::REQUEST_ID, operations::request_id())
        .security_scheme(KEY, SecurityScheme::Http(key))
        .build()
}

fn tags() -> [Tag; 3] {
    let tag = |name: &str, about: &str| Tag::builder().name(name).description(Some(about)).build();
    [
        tag("batches", "Sending, and what became of it."),
        tag("channels", "What can be sent through."),
        tag("operations", "For whoever runs the process."),
    ]
}
