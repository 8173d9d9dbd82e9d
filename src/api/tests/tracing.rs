//! W3C trace context at the front door: continued or begun anew, never an error.

use serde_json::Value;
use tracing::Level;

use crate::api::tests::rig::{Rig, request, short_form};
use crate::telemetry::Format;
use crate::telemetry::written::Written;

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// Sends with these `traceparent` headers; the trace in the batch's line.
async fn trace_of(rig: &Rig, traceparents: &[&[u8]]) -> String {
    let (written, _guard) = Written::collect(Format::Json, Level::INFO);
    let headers = [("content-type", "application/json")];
    let mut request = request("POST", "/v1/batches", &headers, short_form(&["a"]).into());
    for value in traceparents {
        request.headers_mut().append("traceparent", http::HeaderValue::from_bytes(value).unwrap());
    }
    assert_eq!(rig.call(request).await.status, 200, "{traceparents:?}");
    let line: Value = serde_json::from_str(written.text().trim_end()).unwrap();
    line["trace_id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn a_callers_trace_is_continued() {
    let rig = Rig::new();
    for flags in ["00", "01", "ff"] {
        let header = format!("00-{TRACE}-b7ad6b7169203331-{flags}");
        assert_eq!(trace_of(&rig, &[header.as_bytes()]).await, TRACE);
    }
}

#[tokio::test(start_paused = true)]
async fn a_trace_that_cannot_be_read_begins_anew() {
    let rig = Rig::new();
    let sound = format!("00-{TRACE}-b7ad6b7169203331-01");
    let upper = sound.to_uppercase();
    let long = "0".repeat(7000);
    let none = format!("00-{}-b7ad6b7169203331-01", "0".repeat(32));
    let cases: [&[&[u8]]; 9] = [
        &[],
        &[b""],
        &[b"\xff\xfe"],
        &[b"00-x-y-z"],
        &[upper.as_bytes()],
        &[long.as_bytes()],
        &[none.as_bytes()],
        &[&sound.as_bytes()[..54]],
        &[sound.as_bytes(), sound.as_bytes()],
    ];
    let mut seen = Vec::new();
    for case in cases {
        let trace = trace_of(&rig, case).await;
        assert!(trace.len() == 32 && trace.bytes().all(|byte| byte.is_ascii_hexdigit()), "{trace}");
        assert!(trace != TRACE && trace != "0".repeat(32) && !seen.contains(&trace), "{trace}");
        seen.push(trace);
    }
}
