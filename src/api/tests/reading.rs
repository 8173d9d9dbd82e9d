use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use crate::api::tests::rig::{Answered, Rig, request};

async fn sent(rig: &Rig, to: &[&str]) -> String {
    let answered = rig.send(&[], to).await;
    answered.json()["id"].as_str().unwrap().to_owned()
}

fn indices(answered: &Answered) -> Vec<u64> {
    let json = answered.json();
    let results = json["results"].as_array().unwrap().iter();
    results.map(|result| result["index"].as_u64().unwrap()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_report_can_be_read_again_as_json_or_text() {
    let rig = Rig::new();
    let id = sent(&rig, &["a", "bad"]).await;
    let path = format!("/v1/batches/{id}");
    let json = rig.get(&path, &[]).await;
    assert_eq!((json.status, &json.json()["outcome"]), (200, &json!("partial")));
    assert_eq!(json.header("batch-id"), Some(id.as_str()));
    let text = rig.get(&path, &[("accept", "text/plain")]).await;
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert!(text.text.starts_with(&format!("{id}  completed, partial\n")), "{}", text.text);
}

#[tokio::test(start_paused = true)]
async fn results_come_by_page() {
    let rig = Rig::new();
    let id = sent(&rig, &["a", "bad1", "b", "bad2", "bad3"]).await;
    let path = format!("/v1/batches/{id}/results");
    let first = rig.get(&format!("{path}?page_size=2&status=failed"), &[]).await;
    assert_eq!((first.status, indices(&first)), (200, vec![1, 3]));
    let token = first.json()["next_page_token"].as_str().unwrap().to_owned();
    let next = format!("{path}?page_size=2&status=failed&page_token={token}");
    let second = rig.get(&next, &[]).await;
    assert_eq!(indices(&second), [4]);
    assert_eq!(second.json()["next_page_token"], "");
    assert_eq!(indices(&rig.get(&path, &[]).await), [0, 1, 2, 3, 4]);
    let foreign = rig.get(&format!("{path}?page_token={token}"), &[]).await;
    assert_eq!(foreign.refusal(), (422, "invalid_request".into(), vec!["/page_token out_of_range".into()]));
}

#[tokio::test(start_paused = true)]
async fn results_stream_as_lines_and_as_csv() {
    let rig = Rig::new();
    let ids: Vec<_> = (0..3000).map(|number| format!("user{number:05}")).collect();
    let mut to: Vec<_> = ids.iter().map(String::as_str).collect();
    to.push("bad");
    let id = sent(&rig, &to).await;
    let path = format!("/v1/batches/{id}/results");
    let lines = rig.get(&path, &[("accept", "application/x-ndjson")]).await;
    let parsed: Vec<Value> = lines.text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(parsed.len(), 3001);
    assert!(
        parsed
            .iter()
            .enumerate()
            .all(|(index, line)| line["index"] == index && line["recipient"] == to[index])
    );
    let csv = rig.get(&format!("{path}?status=failed"), &[("accept", "text/csv")]).await;
    assert_eq!(csv.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    let rows: Vec<_> = csv.text.split("\r\n").collect();
    assert!(rows[0].starts_with("index,channel,recipient,"));
    assert!(rows[1].starts_with("3000,main,bad,,,failed,"));
    assert_eq!(rows.len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_stream_of_results_comes_in_small_pieces() {
    let rig = Rig::new();
    let ids: Vec<_> = (0..10_000).map(|number| format!("user{number:05}")).collect();
    let id = sent(&rig, &ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
    for (accept, header_lines) in [("application/x-ndjson", 0), ("text/csv", 1)] {
        let path = format!("/v1/batches/{id}/results");
        let asked = request("GET", &path, &[("accept", accept)], Body::empty());
        let mut body = rig.router.clone().oneshot(asked).await.unwrap().into_body();
        let (mut pieces, mut lines) = (0, 0);
        while let Some(frame) = body.frame().await {
            let piece = frame.unwrap().into_data().unwrap();
            assert!(piece.len() < 70_000, "{accept}: {}", piece.len());
            lines += piece.iter().filter(|byte| **byte == b'\n').count();
            pieces += 1;
        }
        assert_eq!(lines, 10_000 + header_lines, "{accept}");
        assert!(pieces > 5, "{accept}: {pieces}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_plan_shows_every_call_and_sends_none() {
    let rig = Rig::new();
    let body = json!({
        "message": { "type": "image", "url": "https://x/y.png", "width": 3 },
        "routes": [
            { "channel": "main", "to": ["a", "b", "b"] },
            { "channel": "other", "to": ["!c"], "message": { "type": "text", "text": "x" } },
        ],
    });
    let headers = [("idempotency-key", "is of no matter here")];
    let answered = rig.post("/v1/batches/plan", &headers, &body.to_string()).await;
    assert_eq!(answered.status, 200, "{}", answered.text);
    assert_eq!(rig.calls(), 0);
    assert!(!answered.text.contains("hunter2"));
    let expected = json!({
        "call_count": 1, "recipient_count": 4, "unsent_count": 2,
        "calls": [{
            "route_index": 0, "channel": "main", "provider": "fake", "method": "POST",
            "url": "http://127.0.0.1:1/base/send?random=7&signature=[redacted]",
            "headers": { "content-type": "application/json", "x-key": "[redacted]" },
            "body": ["a", "b"], "recipient_count": 2, "volatile": ["query.random"],
        }],
        "warnings": [{ "code": "field_left_out", "channel": "main", "pointer": "/message/width",
                       "detail": "no field for the width" }],
        "eta": null,
    });
    assert_eq!(answered.json(), expected);
    let faulty = rig.post("/v1/batches/plan", &[], "{}").await;
    assert_eq!(faulty.refusal().0, 422);
}

#[tokio::test(start_paused = true)]
async fn warnings_point_into_the_request() {
    let body = json!({ "channel": "main", "to": ["a"],
                       "message": { "type": "image", "url": "https://x", "width": 3 } });
    let answered = Rig::new().post("/v1/batches", &[], &body.to_string()).await;
    assert_eq!(answered.json()["warnings"][0]["pointer"], "/message/width");
}

#[tokio::test(start_paused = true)]
async fn channels_show_what_they_can_do() {
    let rig = Rig::new();
    let all = rig.get("/v1/channels", &[]).await;
    assert_eq!(all.json()["channels"].as_array().map(Vec::len), Some(2));
    let one = rig.get("/v1/channels/main", &[]).await.json();
    assert_eq!(one, all.json()["channels"][0]);
    assert_eq!(one["message_types"]["face"], json!({ "carried": false, "reason": "send text" }));
    assert_eq!(one["message_types"]["text"], json!({ "carried": true }));
    assert_eq!(one["message_types"]["video"]["carried"], false);
    assert_eq!(one["limits"]["recipients_per_call"], 100);
    assert_eq!(one["budgets"]["calls"]["per_second"], 1000.0);
    assert_eq!(one["budgets"]["messages"], Value::Null);
    assert_eq!((&one["in_flight"], &one["token"]), (&json!(0), &json!("not_needed")));
    assert_eq!(rig.get("/v1/channels/none", &[]).await.refusal().1, "not_found");
}

#[tokio::test(start_paused = true)]
async fn what_is_not_there_is_a_problem() {
    let rig = Rig::new();
    let long = "x".repeat(129);
    for (id, is_kept) in [("ok-1", true), ("a b", false), (long.as_str(), false), ("", false)] {
        let answered = rig.get("/v1/nothing", &[("x-request-id", id)]).await;
        assert_eq!(answered.refusal().1, "not_found");
        let given = answered.header("x-request-id").unwrap();
        assert_eq!(given == id, is_kept, "{id}");
        assert_eq!(answered.json()["request_id"], given);
        assert_eq!(answered.json()["instance"], "/v1/nothing");
    }
    for path in [
        "/v1/batches/bat_00000000000000000000000000",
        "/v1/batches/x",
        "/v1/batches/%ff",
        "/v1/batches/bat_00000000000000000000000000/results",
        "/v1/batches/x/nothing",
    ] {
        assert_eq!(rig.get(path, &[]).await.refusal().0, 404, "{path}");
    }
    let unknown = "/v1/batches/bat_00000000000000000000000000/cancel";
    for path in ["/v1/batches/x/cancel", unknown] {
        assert_eq!(rig.post(path, &[], "").await.refusal().0, 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn another_method_is_405_with_the_right_ones() {
    let rig = Rig::new();
    for (method, path, allowed) in [
        ("DELETE", "/v1/batches", "GET,HEAD,POST"),
        ("GET", "/v1/batches/plan", "POST"),
        ("PUT", "/v1/channels", "GET,HEAD"),
    ] {
        let answered = rig.call(request(method, path, &[], Body::empty())).await;
        assert_eq!(answered.header("allow"), Some(allowed));
        assert_eq!(answered.refusal().1, "method_not_allowed");
    }
}
