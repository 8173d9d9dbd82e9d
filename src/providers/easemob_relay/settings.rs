//! The relay's own keys, checked.

use std::sync::Arc;

use http::uri::PathAndQuery;

use crate::adapter::fields::Fields;
use crate::adapter::secret::Secret;
use crate::domain::fault::FaultCode;

/// What the adapter needs of a channel's keys; credentials are apart, in [`Query`].
#[derive(Clone, Debug)]
pub(super) struct Settings {
    /// Path of the endpoint below the base URL, percent-encoded.
    pub(super) path: Arc<str>,
    /// The `reqUrl` of the body, unless a request gives its own.
    pub(super) req_url: Arc<str>,
    /// How `msgBody` is written.
    pub(super) msg_body_encoding: MsgBodyEncoding,
}

/// How `msgBody` is written.
///
/// Source: interface 2.8: the table of body fields says "JSON string", its type column and the example say
/// object; read 2026-11-21.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MsgBodyEncoding {
    /// As an object.
    Object,
    /// As JSON text inside a string.
    Text,
}

/// The five values of the signed query, opaque and all secret.
///
/// Source: interface 2.8, "test environment": only an example URL; how `sign` is made is undocumented.
#[derive(Clone, Debug)]
pub(super) struct Query {
    /// `apiVersion`.
    pub(super) api_version: Secret,
    /// `client`.
    pub(super) client: Secret,
    /// `version`.
    pub(super) version: Secret,
    /// `channel`.
    pub(super) channel: Secret,
    /// `sign`.
    pub(super) sign: Secret,
}

/// Takes the relay's own keys; `None` if a fault was added.
pub(super) fn read(fields: &mut Fields<'_>) -> Option<(Settings, Query)> {
    let path = fields.required_text("path").and_then(|path| {
        let is_encoded = path.is_ascii() && path.parse::<PathAndQuery>().is_ok();
        if is_path(&path) && !path.contains(['?', '#']) && is_encoded {
            return Some(path);
        }
        let detail = "must be a percent-encoded path that starts with `/`, without a query";
        fields.fault_at("path", FaultCode::OutOfRange, detail);
        None
    });
    let req_url = fields.required_text("req_url");
    let req_url = req_url.and_then(|text| check_req_url(fields, text));
    if !fields.has("msg_body_encoding") {
        fields.fault_at("msg_body_encoding", FaultCode::Required, "`msg_body_encoding` is required");
    }
    let encodings = [("object", MsgBodyEncoding::Object), ("string", MsgBodyEncoding::Text)];
    let msg_body_encoding = fields.choice("msg_body_encoding", &encodings);
    if !fields.has("query") {
        fields.fault_at("query", FaultCode::Required, "`query` is required");
    }
    let query = fields.object("query", read_query);
    let settings = Settings { path: path?, req_url: req_url?, msg_body_encoding: msg_body_encoding? };
    Some((settings, query?))
}

fn read_query(fields: &mut Fields<'_>) -> Option<Query> {
    let mut read = |name| fields.required_filled_text(name).map(|text| Secret::new(&*text));
    let [api_version, client, version, channel, sign] =
        ["api_version", "client", "version", "channel", "sign"].map(&mut read);
    Some(Query {
        api_version: api_version?,
        client: client?,
        version: version?,
        channel: channel?,
        sign: sign?,
    })
}

/// Checks the `req_url` of settings or of a request; `None` if a fault was added.
///
/// The relay calls it on its own network, so it must not be able to name another host.
pub(super) fn check_req_url(fields: &mut Fields<'_>, text: Arc<str>) -> Option<Arc<str>> {
    if is_path(&text) {
        return Some(text);
    }
    let detail = "must be a path that starts with `/`, without scheme, host, `//`, `\\` or white space";
    fields.fault_at("req_url", FaultCode::OutOfRange, detail);
    None
}

fn is_path(text: &str) -> bool {
    text.starts_with('/')
        && !text.contains("//")
        && !text.contains(|symbol: char| symbol == '\\' || symbol.is_whitespace() || symbol.is_control())
}
