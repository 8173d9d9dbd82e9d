//! The requests that the rigs send to the gateway.

use std::fmt::Write as _;

use crate::provider::Kind;

/// A send of a text to `recipients` on the channel of this provider; `prefer` is the header's value.
pub(crate) fn send(kind: Kind, recipients: std::ops::Range<u64>, prefer: Option<&str>) -> Vec<u8> {
    let mut ids = String::new();
    for id in recipients {
        // Writing to a text cannot fail.
        let _ = write!(ids, "{}{id}", if ids.is_empty() { "" } else { "," });
    }
    let channel = kind.name();
    let body = format!(
        r#"{{"channel":"{channel}","from":"10001","to":[{ids}],"message":{{"type":"text","text":"Maintenance at 22:00, back at 22:30"}}}}"#
    );
    let prefer = prefer.map(|value| format!("prefer: {value}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "POST /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n{prefer}\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A read of `path`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n").into_bytes()
}
