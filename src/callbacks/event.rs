//! What a receiver is told: the same bytes in every try.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::adapter::wire::push_json_string;
use crate::api::report::json;
use crate::callbacks::signature::{self, SigningKey};
use crate::domain::callback::Origin;
use crate::domain::id::BatchId;
use crate::store::Summary;
use crate::transport::webhook::Webhook;

/// The only kind of event.
const TYPE: &str = "batch.completed";

const ID: HeaderName = HeaderName::from_static("webhook-id");
const TIMESTAMP: HeaderName = HeaderName::from_static("webhook-timestamp");
const SIGNATURE: HeaderName = HeaderName::from_static("webhook-signature");

/// The POST of one try at `now`, signed.
pub(super) fn webhook(
    summary: &Summary,
    url: Arc<str>,
    origin: &Origin,
    keys: &[SigningKey],
    now: SystemTime,
) -> Webhook {
    let (id, body) = (id(summary.id), body(summary));
    let timestamp = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(USER_AGENT, HeaderValue::from_static(concat!("imcast/", env!("CARGO_PKG_VERSION"))));
    headers.insert(TIMESTAMP, HeaderValue::from(timestamp));
    let signatures = signature::sign(keys, &id, timestamp, &body);
    for (name, text) in [(ID, id), (SIGNATURE, signatures)] {
        // Both are made of letters, digits and the marks of base64.
        if let Ok(value) = HeaderValue::try_from(text) {
            headers.insert(name, value);
        }
    }
    Webhook { url, host: origin.host.clone(), port: origin.port, headers, body: Bytes::from(body) }
}

/// The event's name: one batch has one event, so that a receiver knows what it was told before.
fn id(batch: BatchId) -> String {
    let text = batch.to_string();
    format!("evt_{}", text.strip_prefix("bat_").unwrap_or(&text))
}

fn body(summary: &Summary) -> Vec<u8> {
    let mut out = Vec::with_capacity(512);
    out.extend_from_slice(b"{\"type\":");
    push_json_string(&mut out, TYPE);
    out.extend_from_slice(b",\"timestamp\":");
    push_json_string(&mut out, &json::time(summary.completed_at.unwrap_or(summary.created_at)));
    out.extend_from_slice(b",\"data\":");
    json::push_summary(&mut out, summary);
    out.push(b'}');
    out
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::id::ChannelName;
    use crate::domain::outcome::Counts;

    #[test]
    fn the_event_is_what_the_list_says_of_the_batch() {
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let summary = Summary {
            id: BatchId::new(1_700_000_000_000, 7),
            client_ref: Some("maintenance".into()),
            created_at: at(1_700_000_000),
            completed_at: Some(at(1_700_000_005)),
            canceled: false,
            channels: vec![ChannelName::parse("main").unwrap()],
            counts: Counts { total: 3, accepted: 1, failed: 1, unknown: 1, pending: 0 },
        };
        let origin = Origin::of("https://hooks.example").unwrap();
        let url = Arc::from("https://hooks.example/x");
        let Webhook { headers, body, host, port, .. } =
            webhook(&summary, url, &origin, &[], at(1_700_000_100));
        let id = summary.id.to_string();
        let expected = serde_json::json!({
            "type": "batch.completed",
            "timestamp": "2023-11-14T22:13:25.000Z",
            "data": {
                "id": id,
                "client_ref": "maintenance",
                "status": "completed",
                "outcome": "partial",
                "created_at": "2023-11-14T22:13:20.000Z",
                "completed_at": "2023-11-14T22:13:25.000Z",
                "channels": ["main"],
                "counts": { "total": 3, "accepted": 1, "failed": 1, "unknown": 1, "pending": 0 },
                "links": { "self": format!("/v1/batches/{id}"), "results": format!("/v1/batches/{id}/results") },
            },
        });
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), expected);
        assert_eq!((&*host, port), ("hooks.example", 443));
        assert_eq!(headers[ID], id.replace("bat_", "evt_"));
        assert_eq!(headers[TIMESTAMP], "1700000100");
    }
}
