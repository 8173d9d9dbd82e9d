//! The document and the code say the same.

mod fields;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::api::document;
use crate::api::idempotency::{self, IDEMPOTENCY_KEY};
use crate::api::keys::settings::Rights;
use crate::api::problem::ProblemCode;
use crate::api::router::routes;
use crate::api::tests::keys::key;
use crate::api::tests::rig::{Rig, request};
use crate::dispatch::circuit::CircuitStatus;
use crate::dispatch::token::TokenStatus;
use crate::domain::failure::{FailureKind, Source};
use crate::domain::fault::FaultCode;
use crate::domain::message::MessageType;
use crate::domain::outcome::Evidence;
use crate::domain::report::{BudgetKind, Status, WarningCode};
use crate::domain::route::TargetType;
use crate::providers::REGISTRY;

/// The document as JSON.
fn written() -> Value {
    serde_json::from_str(&document::text(REGISTRY).unwrap()).unwrap()
}

/// The schema of this name.
fn schema(name: &str) -> Value {
    written()["components"]["schemas"][name].clone()
}

/// The words that an enumeration in the document allows.
fn words(schema: &Value) -> BTreeSet<String> {
    let words = schema["enum"].as_array().into_iter().flatten();
    words.map(|word| word.as_str().unwrap().to_owned()).collect()
}

#[test]
fn the_committed_document_is_the_one_that_the_code_writes() {
    let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/openapi.json"));
    let is_same = committed.unwrap_or_default() == document::text(REGISTRY).unwrap();
    assert!(is_same, "docs/openapi.json is not up to date: cargo run -- openapi > docs/openapi.json");
}

#[tokio::test(start_paused = true)]
async fn every_route_is_in_the_document_and_the_other_way_round() {
    let rig = Rig::new();
    let mut served = BTreeMap::new();
    let paths = routes().into_iter().map(|(path, _)| path).chain(["/metrics"]);
    for path in paths {
        let target = path.replace("{id}", "x").replace("{name}", "x");
        // A method that no path takes: the refusal names those that it does take.
        let refused = rig.call(request("PURGE", &target, &[], axum::body::Body::empty())).await;
        assert_eq!(refused.status, 405, "{path}");
        let methods = refused.header("allow").unwrap().to_ascii_lowercase();
        let methods = methods.split(',').map(str::trim).filter(|method| *method != "head");
        served.insert(path.to_owned(), methods.map(str::to_owned).collect::<BTreeSet<_>>());
    }
    let documented: BTreeMap<_, _> = written()["paths"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(path, item)| (path.clone(), item.as_object().unwrap().keys().cloned().collect()))
        .collect();
    assert_eq!(served, documented);
}

/// The variants of an enumeration, from its source.
fn variants(source: &str, name: &str) -> usize {
    let (_, rest) = source.split_once(&format!("pub enum {name} {{\n")).unwrap();
    let (body, _) = rest.split_once("\n}").unwrap();
    let is_variant = |line: &&str| {
        line.strip_prefix("    ")
            .is_some_and(|line| line.starts_with(|first: char| first.is_ascii_uppercase()))
    };
    body.lines().filter(is_variant).count()
}

#[track_caller]
fn check_list(source: &str, name: &str, found: &[&str], documented: &Value) {
    assert_eq!(variants(source, name), found.len(), "{name}::ALL lacks a variant");
    let found: BTreeSet<_> = found.iter().map(|word| (*word).to_owned()).collect();
    assert_eq!(words(documented), found, "{name}");
}

#[test]
fn every_closed_list_is_whole() {
    let failure = include_str!("../../../domain/failure.rs");
    let report = include_str!("../../../domain/report.rs");
    let of = |name: &str, field: &str| schema(name)["properties"][field].clone();
    let codes = ProblemCode::ALL.map(ProblemCode::as_str);
    check_list(include_str!("../../problem.rs"), "ProblemCode", &codes, &of("Problem", "code"));
    let codes = FaultCode::ALL.map(FaultCode::as_str);
    check_list(include_str!("../../../domain/fault.rs"), "FaultCode", &codes, &of("Fault", "code"));
    let kinds = FailureKind::ALL.map(FailureKind::as_str);
    check_list(failure, "FailureKind", &kinds, &of("ResultError", "code"));
    check_list(failure, "Source", &Source::ALL.map(Source::as_str), &of("ResultError", "source"));
    check_list(report, "WarningCode", &WarningCode::ALL.map(WarningCode::as_str), &of("Warning", "code"));
    let outcome = include_str!("../../../domain/outcome.rs");
    check_list(outcome, "Evidence", &Evidence::ALL.map(Evidence::as_str), &of("Result", "evidence"));
    let token = include_str!("../../../dispatch/token.rs");
    check_list(token, "TokenStatus", &TokenStatus::ALL.map(TokenStatus::as_str), &of("Channel", "token"));
    let circuit = include_str!("../../../dispatch/circuit.rs");
    let state = &of("Channel", "circuit")["properties"]["state"];
    check_list(circuit, "CircuitStatus", &CircuitStatus::ALL.map(CircuitStatus::as_str), state);
    let budget = &of("Eta", "bound_by")["oneOf"][0]["properties"]["budget"];
    check_list(report, "BudgetKind", &BudgetKind::ALL.map(BudgetKind::as_str), budget);
    check_list(report, "Status", &Status::ALL.map(Status::as_str), &of("Report", "status"));
    let route = include_str!("../../../domain/route.rs");
    let target = of("Route", "target_type");
    check_list(route, "TargetType", &TargetType::ALL.map(TargetType::as_str), &target);
    let types: BTreeSet<_> =
        schema("Message")["discriminator"]["mapping"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(types, MessageType::ALL.map(|of| of.as_str().to_owned()).into());
    assert_eq!(variants(include_str!("../../../domain/message.rs"), "MessageType"), types.len());
}

#[test]
fn every_problem_code_has_an_answer_with_an_example() {
    let document = written();
    let answers = document["components"]["responses"].as_object().unwrap();
    let found: BTreeSet<_> = answers
        .values()
        .flat_map(|answer| answer["content"]["application/problem+json"]["examples"].as_object().unwrap())
        .map(|(code, example)| {
            assert_eq!(example["value"]["code"], *code);
            code.clone()
        })
        .collect();
    let mut expected: BTreeSet<_> = ProblemCode::ALL.map(|code| code.as_str().to_owned()).into();
    // The answer to a method that no operation has.
    expected.remove(ProblemCode::MethodNotAllowed.as_str());
    assert_eq!(found, expected);
}

#[test]
fn an_idempotency_key_is_taken_as_documented() {
    let schema = written()["components"]["parameters"]["IdempotencyKey"]["schema"].clone();
    let documented = jsonschema::validator_for(&schema).unwrap();
    let long = |length: usize| "k".repeat(length);
    let bare = ["", "a", "!", "~", r#"a"b"#, r"a\b", "two words", "\u{e9}", "a\tb"].map(str::to_owned);
    let quoted = [
        "\"",
        r#""""#,
        r#""a""#,
        r#""a"b"#,
        r#""a\"b\\c""#,
        r#""a\b""#,
        r#""a\""#,
        r#""two words""#,
        r#""open"#,
    ];
    let lengths = [long(255), long(256), format!("\"{}\"", long(255)), format!("\"{}\"", long(256))];
    for key in bare.into_iter().chain(quoted.map(str::to_owned)).chain(lengths) {
        let mut headers = http::HeaderMap::new();
        headers.insert(IDEMPOTENCY_KEY, http::HeaderValue::from_bytes(key.as_bytes()).unwrap());
        let is_taken = idempotency::read(&headers).is_ok();
        assert_eq!(documented.is_valid(&key.as_str().into()), is_taken, "{key}");
    }
}

#[tokio::test]
async fn the_document_and_its_page_need_no_key() {
    let rig = Rig::with_keys(&[key("someone", Rights::default()).1]);
    assert_eq!(rig.get("/v1/channels", &[]).await.status, 401);
    let document = rig.get("/openapi.json", &[]).await;
    assert_eq!((document.status, document.header("content-type")), (200, Some("application/json")));
    assert_eq!(document.text, document::text(REGISTRY).unwrap());
}

#[cfg(feature = "swagger-ui")]
#[tokio::test]
async fn the_page_loads_nothing_from_elsewhere() {
    let rig = Rig::with_keys(&[key("someone", Rights::default()).1]);
    let lead = rig.get("/docs", &[]).await;
    assert_eq!((lead.status, lead.header("location")), (308, Some("/docs/")));
    let page = rig.get("/docs/", &[]).await;
    assert_eq!((page.status, page.header("content-type")), (200, Some("text/html")));
    assert!(!page.text.contains("://"), "{}", page.text);
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{policy}");
    assert!(!policy.contains("http") && !policy.contains('*'), "{policy}");
    let files = page.text.split('"').filter_map(|part| part.strip_prefix("./"));
    // Pictures are no text.
    let files: Vec<_> = files.chain(["index.css"]).filter(|file| !file.ends_with(".png")).collect();
    assert!(files.len() > 4, "{files:?}");
    for file in files {
        let file = rig.get(&format!("/docs/{file}"), &[]).await;
        assert_eq!(file.status, 200);
        assert_eq!(file.header("content-security-policy"), Some(policy));
        assert_eq!(file.header("x-content-type-options"), Some("nosniff"));
    }
    let start = rig.get("/docs/swagger-initializer.js", &[]).await;
    assert!(start.text.contains(r#""url": "/openapi.json""#), "{}", start.text);
    let missing = rig.get("/docs/../Cargo.toml", &[]).await;
    assert_eq!(missing.refusal().0, 404);
}
