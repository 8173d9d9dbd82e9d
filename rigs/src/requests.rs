//! The requests that the rigs send to the gateway.

use std::fmt::Write as _;
use std::ops::Range;

use crate::provider::Kind;

/// What else a send says.
#[derive(Clone, Copy, Default)]
pub(crate) struct Headers {
    /// The value of `prefer`.
    pub(crate) prefer: Option<&'static str>,
    /// What its idempotency key is made of.
    pub(crate) key: Option<u64>,
}

/// A send of a text to `recipients` on the channel of this provider; `prefer` is the header's value.
pub(crate) fn send(kind: Kind, recipients: Range<u64>, prefer: Option<&'static str>) -> Vec<u8> {
    send_with(kind, recipients, Headers { prefer, key: None })
}

/// The same with other headers.
pub(crate) fn send_with(kind: Kind, recipients: Range<u64>, headers: Headers) -> Vec<u8> {
    let ids = list(recipients, ",");
    let channel = kind.name();
    let body = format!(
        r#"{{"channel":"{channel}","from":"10001","to":[{ids}],"message":{{"type":"text","text":"{TEXT}"}}}}"#
    );
    post("application/json", &body, headers)
}

/// The same as a stream of lines.
pub(crate) fn send_lines(kind: Kind, recipients: Range<u64>, headers: Headers) -> Vec<u8> {
    let ids = list(recipients, "\n");
    let channel = kind.name();
    let first =
        format!(r#"{{"channel":"{channel}","from":"10001","message":{{"type":"text","text":"{TEXT}"}}}}"#);
    post("application/x-ndjson", &format!("{first}\n{ids}\n"), headers)
}

const TEXT: &str = "Maintenance at 22:00, back at 22:30";

fn list(ids: Range<u64>, between: &str) -> String {
    let mut list = String::new();
    for id in ids {
        // Writing to a text cannot fail.
        let _ = write!(list, "{}{id}", if list.is_empty() { "" } else { between });
    }
    list
}

fn post(content_type: &str, body: &str, headers: Headers) -> Vec<u8> {
    let prefer = headers.prefer.map(|value| format!("prefer: {value}\r\n")).unwrap_or_default();
    let key = headers.key.map(|key| format!("idempotency-key: rig-{key}\r\n")).unwrap_or_default();
    let length = body.len();
    format!(
        "POST /v1/batches HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: {content_type}\r\n{prefer}{key}\
         content-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}

/// A read of `path`.
pub(crate) fn get(path: &str) -> Vec<u8> {
    get_with(path, "")
}

/// The same with further lines in its head.
pub(crate) fn get_with(path: &str, lines: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nhost: 127.0.0.1\r\n{lines}\r\n").into_bytes()
}

/// A call as the gateway makes it to Tencent's provider, for whoever calls that one himself.
pub(crate) fn tim_call(recipients: Range<u64>) -> Vec<u8> {
    let ids = list(recipients, "\",\"");
    let body = format!(
        r#"{{"From_Account":"10001","To_Account":["{ids}"],"MsgRandom":1234567890,"SyncOtherMachine":2,"MsgBody":[{{"MsgType":"TIMTextElem","MsgContent":{{"Text":"{TEXT}"}}}}]}}"#
    );
    let length = body.len();
    format!(
        "POST /v4/openim/batchsendmsg?sdkappid=88888888&identifier=admin&usersig=rig&random=1&contenttype=json \
         HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
    )
    .into_bytes()
}
