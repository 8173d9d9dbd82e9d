//! Any query and any header fields.
//!
//! The input: a digit for the action, the rest of the first line after the path, then one field a line.

use std::cell::OnceCell;

use axum::body::Body;
use http::{HeaderName, HeaderValue, Method, Request, Uri};
use serde_json::Value;

use crate::targets::gateway::{Exchanged, Gateway};
use crate::targets::report::{check_csv, check_lines, check_refusal, check_report};

/// A gateway to send to, one to read from, and the batch that is there.
struct Stage {
    sender: Gateway,
    reader: Gateway,
    batch_id: String,
}

const BATCH: &str = r#"{"channel":"sandbox-tim","to":["bonnie","magic-refuse","=cmd()","<b>\r\nx: y","bonnie"],
"message":{"type":"text","text":"hi"}}"#;

/// How many recipients `BATCH` names.
const COUNT: usize = 5;

thread_local! {
    static STAGE: OnceCell<Stage> = const { OnceCell::new() };
}

/// Takes one input; `true` if it was not refused.
pub(crate) fn run(input: &[u8]) -> bool {
    STAGE.with(|stage| run_on(stage.get_or_init(Stage::new), input))
}

impl Stage {
    fn new() -> Self {
        let reader = Gateway::new();
        let sent = reader.exchange(
            Request::post("/v1/batches")
                .header("content-type", "application/json")
                .body(BATCH.into())
                .unwrap(),
        );
        let batch_id = sent.header("batch-id").to_owned();
        Self { sender: Gateway::new(), reader, batch_id }
    }
}

fn run_on(stage: &Stage, input: &[u8]) -> bool {
    let Some(request) = request(stage, input) else { return false };
    let is_send = request.method() == Method::POST;
    let given_id = request.headers().get("x-request-id").map(|value| value.as_bytes().to_vec());
    let wants_durable = request.headers().contains_key("idempotency-key");
    let path = request.uri().path().to_owned();
    let gateway = if is_send { &stage.sender } else { &stage.reader };
    let answer = gateway.exchange(request);
    gateway.settle();
    answer.check_secrets(input);
    check_request_id(&answer, given_id.as_deref());
    if answer.status >= 400 {
        let known = [400, 404, 405, 413, 415, 422];
        assert!(known.contains(&answer.status), "answered {}", answer.status);
        check_refusal(&answer);
        return false;
    }
    if is_send && path == "/v1/batches" {
        assert!(!wants_durable, "a key was taken that nobody keeps");
    } else {
        assert_eq!(answer.calls, 0, "reading called a provider");
    }
    if !is_send && path == "/v1/batches" {
        check_list(&answer.body);
    } else {
        check_body(&answer, &path);
    }
    check_preference(&answer);
    true
}

fn request(stage: &Stage, input: &[u8]) -> Option<Request<Body>> {
    let &[action, ref rest @ ..] = input else { return None };
    let id = &stage.batch_id;
    let (method, path) = match action.wrapping_sub(b'0') % 6 {
        0 => (Method::POST, "/v1/batches".to_owned()),
        1 => (Method::POST, "/v1/batches/plan".to_owned()),
        2 => (Method::GET, format!("/v1/batches/{id}")),
        3 => (Method::GET, format!("/v1/batches/{id}/results")),
        4 => (Method::GET, "/v1/channels".to_owned()),
        _ => (Method::GET, "/".to_owned()),
    };
    let mut lines = rest.split(|byte| *byte == b'\n');
    let target = [path.as_bytes(), lines.next().unwrap_or_default()].concat();
    let body = if method == Method::POST { Body::from(BATCH) } else { Body::empty() };
    let mut request = Request::new(body);
    *request.uri_mut() = Uri::try_from(target.as_slice()).ok()?;
    *request.method_mut() = method;
    for line in lines {
        let Some(end) = line.iter().position(|byte| *byte == b':') else { continue };
        let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..end]), HeaderValue::from_bytes(line[end + 1..].trim_ascii()))
        else {
            continue;
        };
        // Beyond its room a map of fields refuses more; the server answers 431 before that.
        request.headers_mut().try_append(name, value).ok()?;
    }
    if !request.headers().contains_key("content-type") {
        request.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    }
    Some(request)
}

/// The caller's id comes back if it is harmless; otherwise one of ours stands in its place.
fn check_request_id(answer: &Exchanged, given: Option<&[u8]>) {
    let id = answer.header("x-request-id").as_bytes();
    let is_harmless = |id: &[u8]| {
        let is_sane = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:~+/=".contains(byte);
        (1..=128).contains(&id.len()) && id.iter().all(is_sane)
    };
    assert!(is_harmless(id), "an id that cannot stand in a log");
    match given {
        Some(given) if is_harmless(given) => assert_eq!(id, given, "the caller's own id"),
        Some(_) | None => assert!(id.starts_with(b"req_")),
    }
}

fn check_body(answer: &Exchanged, path: &str) {
    let content_type = answer.header("content-type");
    if path.ends_with("/results") {
        match content_type {
            "application/json" => check_page(&answer.body),
            "application/x-ndjson" => check_lines_of(&answer.body),
            "text/csv; charset=utf-8; header=present" => {
                let count = answer.body.windows(2).filter(|end| end == b"\r\n").count();
                // One recipient holds an end of line itself.
                assert!(count <= COUNT + 2);
                if count == COUNT + 2 {
                    check_csv(&answer.body, COUNT);
                }
            }
            other => panic!("results as {other}"),
        }
    } else if path.starts_with("/v1/batches") && !path.ends_with("/plan") {
        match content_type {
            "application/json" => drop(check_report(&answer.body, None)),
            "text/plain; charset=utf-8" => drop(std::str::from_utf8(&answer.body).expect("text")),
            other => panic!("a report as {other}"),
        }
    } else if content_type == "application/json" {
        drop(serde_json::from_slice::<Value>(&answer.body).expect("JSON"));
    }
}

/// The list of batches: the one that is there, or none.
fn check_list(text: &[u8]) {
    let page: Value = serde_json::from_slice(text).expect("a list is JSON");
    let batches = page["batches"].as_array().expect("batches");
    assert!(batches.len() <= 1, "batches that nobody sent");
    for batch in batches {
        assert_eq!(batch["counts"]["total"], COUNT, "a batch of another size");
    }
    assert!(page["next_page_token"].is_string());
}

fn check_page(text: &[u8]) {
    let page: Value = serde_json::from_slice(text).expect("a page is JSON");
    let results = page["results"].as_array().expect("results");
    assert!(results.len() <= COUNT);
    let indexes: Vec<_> = results.iter().map(|result| result["index"].as_u64()).collect();
    assert!(indexes.is_sorted(), "results out of order");
    assert!(page["next_page_token"].is_string());
}

/// A filter or a page token leaves lines out, so that only whole streams have indexes without gaps.
fn check_lines_of(text: &[u8]) {
    let count = text.iter().filter(|byte| **byte == b'\n').count();
    assert!(count <= COUNT);
    if count == COUNT {
        check_lines(text, COUNT);
    }
}

fn check_preference(answer: &Exchanged) {
    if let Some(seconds) = answer.header("preference-applied").strip_prefix("wait=") {
        assert!(seconds.parse::<u64>().is_ok_and(|seconds| seconds <= 25), "waits {seconds} s");
    }
}

/// Every field that is read, in forms that are.
pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let fields = [
        "",
        "prefer: wait=5",
        "prefer: wait=0, respond-async; x=1",
        "prefer: Wait = \"7\"\nprefer: return=minimal",
        "idempotency-key: abc",
        "x-request-id: req-1.2:3~4+5/6=",
        "x-request-id: a b",
        "accept: text/plain;q=0.5, application/json;q=0.25",
        "accept: text/csv, */*;q=0.1",
        "accept: application/x-ndjson",
        "accept: text/*",
        "content-type: application/json; charset=utf-8",
        "content-type: application/x-ndjson",
        "content-type: text/plain",
        "content-encoding: gzip",
        "content-length: 99999999999",
        "transfer-encoding: chunked",
        "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "authorization: Bearer x",
    ];
    // Version 1, no filter, the third result; version 1, only failures, the first.
    let queries = [
        "",
        "?status=failed,unknown&page_size=2",
        "?page_size=1",
        "?page_token=AQ8AAAAAAAAAAg",
        "?status=failed&page_token=AQIAAAAAAAAAAA&page_size=0",
        "?status=accepted%2Cpending&page_size=5000&x=1",
    ];
    let mut seeds = Vec::new();
    for action in 0..6 {
        seeds.extend(fields.iter().map(|field| format!("{action}\n{field}").into_bytes()));
    }
    // As long as an id may be.
    seeds.push(format!("4\nx-request-id: {}", "a".repeat(128)).into_bytes());
    for (index, query) in queries.iter().enumerate() {
        seeds.push(format!("3{query}\n").into_bytes());
        seeds.push(format!("3{query}\n{}", fields[7 + index % 4]).into_bytes());
    }
    let paths =
        ["4/sandbox-tim", "4/%00", "5livez", "5readyz", "5v1/batches/bat_0", "5v1/batches/%ff/results"];
    seeds.extend(paths.iter().map(|path| path.as_bytes().to_vec()));
    seeds
}
