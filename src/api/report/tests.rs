use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::api::report::line::push_number;
use crate::api::report::walk::{StatusFilter, rows};
use crate::api::report::{csv, json as report_json, text};
use crate::domain::batch::{Batch, Resend};
use crate::domain::failure::{Cause, Failure, FailureKind};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::json::JsonText;
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList};
use crate::domain::report::{BudgetKind, Eta, Report, RouteReport, Settled, Warning, WarningCode};
use crate::domain::samples;

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn accepted(message_id: Option<&str>) -> Outcome {
    Outcome::Accepted(Acceptance {
        evidence: Evidence::Implied,
        message_id: message_id.map(Into::into),
        provider_fields: message_id.map(|_| JsonText::from_serialized(r#"{"sendTime":7}"#.to_owned())),
    })
}

fn settled(positions: Positions, outcomes: Vec<Outcome>, attempts: u32) -> Settled {
    Settled { positions, outcomes: Outcomes::from_each(outcomes), attempts }
}

fn route(
    channel: &str,
    recipients: RecipientList,
    groups: Vec<Settled>,
    unsent: Option<Settled>,
) -> RouteReport {
    RouteReport {
        channel: ChannelName::parse(channel).unwrap(),
        provider: "fake",
        is_sandbox: false,
        recipients: Arc::new(recipients),
        chatroom_id: None,
        settled: groups,
        unsent,
        calls: 2,
        retries: 1,
        throttled: Duration::from_millis(1500),
        provider_request_ids: vec!["rid".into()],
    }
}

fn report_of(routes: Vec<RouteReport>, completed_at: Option<SystemTime>) -> Report {
    let id = BatchId::new(1_700_000_000_000, 5);
    let batch = Batch {
        client_ref: Some("a \"b\"".into()),
        created_at: at(1_700_000_000),
        expires_at: at(1_700_003_600),
        ..samples::batch(id, Vec::new())
    };
    Report { completed_at, ..samples::ended(batch, routes) }
}

/// Two routes: four recipients, one of them a repeat; then two of which one is lost.
fn mixed() -> Report {
    let mut first = RecipientList::default();
    first.push("a");
    first.push_with_reference("=b\n", "user-2".into());
    first.push("a");
    first.push("d");
    let refused = Failure::provider(FailureKind::InvalidRecipient).with_code("20003").with_hint("unknown id");
    let group = Settled {
        positions: Positions::Picked([0, 1, 3].into(), 0..3),
        outcomes: Outcomes::from_each(vec![accepted(None), Outcome::failed(refused), accepted(Some("m\"1"))]),
        attempts: 1,
    };
    let repeat = Outcome::failed(Failure::gateway(FailureKind::DuplicateRecipient));
    let unsent = settled(Positions::Picked([2].into(), 0..1), vec![repeat], 0);
    let lost =
        Failure::transport(FailureKind::ProviderUnavailable, Cause::HttpStatus(502)).with_message_id("m2");
    let groups = vec![settled(Positions::Range(0..2), vec![accepted(None), Outcome::unknown(lost)], 3)];
    let mut rooms = route("rooms", ["x", "y"].into_iter().collect(), groups, None);
    rooms.chatroom_id = Some("r1".into());
    rooms.is_sandbox = true;
    let mut report =
        report_of(vec![route("main", first, vec![group], Some(unsent)), rooms], Some(at(1_700_000_001)));
    report.warnings.push(Warning {
        code: WarningCode::FieldLeftOut,
        channel: ChannelName::parse("main"),
        pointer: Some("/message/width".into()),
        detail: "left out".into(),
    });
    report
}

fn parse(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

fn written(report: &Report) -> Value {
    parse(&report_json::report(report, &report.counts()))
}

#[test]
fn writes_the_whole_report() {
    let none = Value::Null;
    let id = "bat_01HF7YAT000000000000000005";
    let expected = json!({
        "id": id, "client_ref": "a \"b\"", "status": "completed", "outcome": "partial", "sandbox": true,
        "created_at": "2023-11-14T22:13:20.000Z", "completed_at": "2023-11-14T22:13:21.000Z",
        "counts": { "total": 6, "accepted": 3, "failed": 2, "unknown": 1, "pending": 0 },
        "routes": [
            { "channel": "main", "provider": "fake", "calls": 2, "retries": 1, "throttled_ms": 1500,
              "provider_request_ids": ["rid"],
              "counts": { "total": 4, "accepted": 2, "failed": 2, "unknown": 0, "pending": 0 } },
            { "channel": "rooms", "provider": "fake", "calls": 2, "retries": 1, "throttled_ms": 1500,
              "provider_request_ids": ["rid"],
              "counts": { "total": 2, "accepted": 1, "failed": 0, "unknown": 1, "pending": 0 } },
        ],
        "results": [
            { "index": 0, "channel": "main", "recipient": "a", "status": "accepted", "evidence": "implied", "attempts": 1 },
            { "index": 1, "channel": "main", "recipient": "=b\n", "ref": "user-2", "status": "failed", "attempts": 1,
              "error": { "code": "invalid_recipient", "source": "provider", "cause": none, "retryable": false,
                         "provider_code": "20003", "provider_message": none, "hint": "unknown id" } },
            { "index": 2, "channel": "main", "recipient": "a", "status": "failed", "attempts": 0,
              "error": { "code": "duplicate_recipient", "source": "gateway", "cause": none, "retryable": false,
                         "provider_code": none, "provider_message": none, "hint": none } },
            { "index": 3, "channel": "main", "recipient": "d", "status": "accepted", "evidence": "implied",
              "message_id": "m\"1", "provider_fields": { "sendTime": 7 }, "attempts": 1 },
            { "index": 4, "channel": "rooms", "recipient": "x", "chatroom_id": "r1", "status": "accepted",
              "evidence": "implied", "attempts": 3 },
            { "index": 5, "channel": "rooms", "recipient": "y", "chatroom_id": "r1", "status": "unknown",
              "message_id": "m2", "attempts": 3,
              "error": { "code": "provider_unavailable", "source": "transport", "cause": "http_502",
                         "retryable": false, "provider_code": none, "provider_message": none, "hint": none } },
        ],
        "warnings": [{ "code": "field_left_out", "channel": "main", "pointer": "/message/width", "detail": "left out" }],
        "links": { "self": format!("/v1/batches/{id}"), "results": format!("/v1/batches/{id}/results") },
    });
    assert_eq!(written(&mixed()), expected);
}

#[test]
fn a_running_batch_has_pending_results_and_an_estimate() {
    let recipients: RecipientList = ["a", "b", "c"].into_iter().collect();
    let groups = vec![settled(Positions::Range(1..2), vec![accepted(None)], 1)];
    let mut report = report_of(vec![route("main", recipients, groups, None)], None);
    report.eta = Some(Eta {
        remaining: Duration::from_millis(2050),
        bound_by: ChannelName::parse("main").map(|name| (name, BudgetKind::Calls)),
    });
    let json = written(&report);
    assert_eq!(json["status"], "processing");
    assert_eq!(json.get("outcome"), None);
    assert_eq!(json["eta"], json!({ "seconds": 2.05, "bound_by": { "channel": "main", "budget": "calls" } }));
    assert_eq!(
        json["results"][0],
        json!({ "index": 0, "channel": "main", "recipient": "a", "status": "pending" })
    );
    assert_eq!(json["results"][1]["status"], "accepted");
}

#[test]
fn results_of_a_large_batch_are_only_linked() {
    let large = |count: u32| {
        let recipients: RecipientList = (0..count).map(|_| "a").collect();
        let positions = Positions::Range(0..count);
        let outcomes = Outcomes::same(accepted(None), recipients.len());
        let groups = vec![Settled { positions, outcomes, attempts: 1 }];
        written(&report_of(vec![route("main", recipients, groups, None)], Some(at(1_700_000_001))))
    };
    let inline = large(1000);
    assert_eq!(inline["results"].as_array().map(Vec::len), Some(1000));
    assert_eq!(inline.get("results_truncated"), None);
    let truncated = large(1001);
    assert_eq!(truncated["results"], json!([]));
    assert_eq!(truncated["results_truncated"], json!(true));
    assert_eq!(truncated["outcome"], "all_accepted");
}

#[test]
fn walks_from_any_index_over_all_routes() {
    let report = mixed();
    for start in 0..8 {
        let found: Vec<_> = rows(&report, start).map(|row| row.index).collect();
        assert_eq!(found, (start..6).collect::<Vec<_>>(), "{start}");
        let from_start: Vec<_> = rows(&report, 0).skip(start).map(|row| row.outcome().cloned()).collect();
        let from_there: Vec<_> = rows(&report, start).map(|row| row.outcome().cloned()).collect();
        assert_eq!(from_start, from_there, "{start}");
    }
}

#[test]
fn filters_by_status() {
    let report = mixed();
    let indices = |text: &str| {
        let filter = StatusFilter::parse(text).unwrap();
        rows(&report, 0).filter(|row| filter.takes(row.outcome())).map(|row| row.index).collect::<Vec<_>>()
    };
    assert_eq!(indices("failed"), [1, 2]);
    assert_eq!(indices("unknown,accepted"), [0, 3, 4, 5]);
    assert_eq!(indices("pending"), Vec::<usize>::new());
    assert_eq!(StatusFilter::parse("failed,lost"), Err("lost"));
}

#[test]
fn csv_keeps_columns_and_disarms_formulas() {
    let report = mixed();
    let mut out = csv::HEADER.to_vec();
    rows(&report, 0).for_each(|row| csv::push_row(&mut out, &row));
    let text = String::from_utf8(out).unwrap();
    let lines: Vec<_> = text.split("\r\n").collect();
    assert_eq!(lines[1], "0,main,a,,,accepted,implied,,1,,,,,,,");
    assert_eq!(
        lines[2],
        "1,main,\"'=b\n\",,user-2,failed,,,1,invalid_recipient,provider,,false,20003,,unknown id"
    );
    assert_eq!(lines[6], "5,rooms,y,r1,,unknown,,m2,3,provider_unavailable,transport,http_502,false,,,");
    let columns = lines[0].split(',').count();
    assert!(lines[1..7].iter().all(|line| line.split(',').count() == columns));
}

#[test]
fn disarms_every_kind_of_cell() {
    for (cell, expected) in [
        ("plain", "plain"),
        ("=1+1", "'=1+1"),
        ("+1", "'+1"),
        ("-5", "'-5"),
        ("@x", "'@x"),
        ("\t=1", "'\t=1"),
        ("\r=1", "\"'\r=1\""),
        ("\n=1", "\"'\n=1\""),
        ("\u{ff1d}1", "'\u{ff1d}1"),
        ("=a,b", "\"'=a,b\""),
        ("a\"b", "\"a\"\"b\""),
        ("a=b", "a=b"),
        ("", ""),
    ] {
        let mut out = Vec::new();
        csv::push_cell(&mut out, cell);
        assert_eq!(String::from_utf8(out).unwrap(), expected, "{cell}");
    }
}

#[test]
fn text_shows_what_went_wrong_and_no_control_characters() {
    let report = mixed();
    let text = text::report(&report, &report.counts());
    assert!(text.contains("completed, partial  (sandbox)"), "{text}");
    assert!(text.contains("1  main  =b\u{fffd}  failed  invalid_recipient  20003; unknown id"), "{text}");
    assert!(text.contains("unknown  provider_unavailable (http_502)"), "{text}");
    assert!(text.contains("/message/width"), "{text}");
}

#[test]
fn a_resend_names_its_relatives() {
    let [of, child] = [3, 9].map(|number| BatchId::new(number, 0));
    let mut report = mixed();
    let resend = Resend { of, root: of, root_routes: vec![0, 1] };
    report.batch = Arc::new(Batch { resend: Some(resend), ..Batch::clone(&report.batch) });
    report.resends = vec![child];
    let json = written(&report);
    assert_eq!((&json["resend_of"], &json["resends"]), (&json!(of.to_string()), &json!([child.to_string()])));
    let text = text::report(&report, &report.counts());
    assert!(text.contains(&format!("resend of   {of}\nresent by   {child}\n")), "{text}");
}

#[test]
fn writes_numbers() {
    for number in [0, 9, 10, 123_456, usize::MAX] {
        let mut out = Vec::new();
        push_number(&mut out, number);
        assert_eq!(String::from_utf8(out).unwrap(), number.to_string());
    }
}
