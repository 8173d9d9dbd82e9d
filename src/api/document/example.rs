//! Examples, kept as files: what is asked for, and what the sandbox answered to it.

use serde_json::Value;
use utoipa::openapi::RefOr;
use utoipa::openapi::example::{Example, ExampleBuilder};

/// Named examples of one content.
pub(in crate::api) type Examples = Vec<(&'static str, RefOr<Example>)>;

/// One example; `json` is a file of `examples/`.
pub(in crate::api) fn example(
    name: &'static str,
    summary: &str,
    json: &str,
) -> (&'static str, RefOr<Example>) {
    // A test reads every file; in a program that was built wrong the example would be missing.
    let value: Option<Value> = serde_json::from_str(json).ok();
    (name, RefOr::T(ExampleBuilder::new().summary(summary).value(value).build()))
}

/// The only example.
pub(in crate::api) fn only(summary: &str, json: &str) -> Examples {
    vec![example("example", summary, json)]
}
