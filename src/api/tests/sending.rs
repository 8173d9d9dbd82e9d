use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::middleware::from_fn_with_state;
use axum::routing::get;
use bytes::Bytes;
use futures_core::Stream;
use serde_json::json;
use tower::ServiceExt as _;

use crate::api::problem::{Problem, ProblemCode};
use crate::api::request_id::{HandedOver, identify};
use crate::api::router::State;
use crate::api::tests::rig::{Answered, Rig, request, short_form};
use crate::domain::id::BatchId;

#[tokio::test(start_paused = true)]
async fn a_batch_that_everybody_was_accepted_in_is_200() {
    let rig = Rig::new();
    let answered = rig.send(&[("x-request-id", "abc-1")], &["a", "b"]).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.header("x-request-id"), Some("abc-1"));
    assert_eq!(answered.header("content-type"), Some("application/json"));
    assert_eq!(answered.header("batch-id"), answered.json()["id"].as_str());
    assert_eq!(
        answered.header("batch-outcome"),
        Some("all_accepted; total=2; accepted=2; failed=0; unknown=0; pending=0")
    );
    assert_eq!(answered.header("preference-applied"), None);
    assert_eq!(answered.json()["results"][1]["recipient"], "b");
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_somebody_was_not_accepted_in_is_207() {
    let answered = Rig::new().send(&[], &["a", "bad", "lost", "a", "!x"]).await;
    assert_eq!(answered.status, 207);
    assert_eq!(
        answered.header("batch-outcome"),
        Some("partial; total=5; accepted=1; failed=3; unknown=1; pending=0")
    );
    let statuses: Vec<_> = answered.json()["results"]
        .as_array()
        .unwrap()
        .iter()
        .map(|result| result["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(statuses, ["accepted", "failed", "unknown", "failed", "failed"]);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_takes_longer_than_the_wait_is_202_and_goes_on() {
    let rig = Rig::new();
    let answered = rig.send(&[("prefer", "wait=3")], &["slow"]).await;
    assert_eq!(answered.status, 202);
    let id = answered.json()["id"].as_str().unwrap().to_owned();
    let location = format!("/v1/batches/{id}");
    assert_eq!(answered.header("location"), Some(location.as_str()));
    assert_eq!(answered.header("retry-after"), Some("1"));
    assert_eq!(answered.header("preference-applied"), Some("wait=3"));
    assert_eq!(
        answered.header("batch-outcome"),
        Some("processing; total=1; accepted=0; failed=0; unknown=0; pending=1")
    );
    let looked = rig.get(&location, &[]).await;
    assert_eq!((looked.status, &looked.json()["status"]), (200, &json!("processing")));
    tokio::time::sleep(Duration::from_secs(40)).await;
    let waited = rig.get(&location, &[("prefer", "wait=25")]).await;
    assert_eq!((waited.status, &waited.json()["status"]), (200, &json!("completed")));
    assert_eq!(waited.header("preference-applied"), Some("wait=25"));
    assert_eq!(waited.json()["outcome"], "all_accepted");
}

#[tokio::test(start_paused = true)]
async fn refusals_of_adapters_point_into_the_request() {
    let rig = Rig::new();
    let body = json!({
        "message": { "type": "face", "index": 1 },
        "routes": [
            { "channel": "main", "to": ["a"] },
            { "channel": "other", "to": ["a"] },
            { "channel": "main", "to": ["a"], "message": { "type": "text", "text": "x" }, "ext": {} },
            { "channel": "main", "to": ["a"], "target_type": "group", "message": { "type": "text", "text": "x" } },
        ],
    });
    let answered = rig.post("/v1/batches", &[], &body.to_string()).await;
    let (status, code, faults) = answered.refusal();
    assert_eq!((status, code.as_str()), (422, "invalid_request"));
    // One for each provider that cannot carry the message of the top.
    let expected = [
        "/message/type unsupported",
        "/message/type unsupported",
        "/routes/2/ext unsupported",
        "/routes/3/target_type unsupported",
    ];
    assert_eq!(faults, expected);
    assert_eq!(rig.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn faults_of_the_request_and_of_the_adapter_come_in_one_answer() {
    let rig = Rig::new();
    let body =
        json!({ "channel": "main", "to": ["a"], "message": { "type": "face", "index": 1 }, "mesage": 1 });
    let answered = rig.post("/v1/batches", &[], &body.to_string()).await;
    assert_eq!(answered.refusal().2, ["/mesage unknown_field", "/message/type unsupported"]);
    let body = json!({ "channel": "main", "to": [], "message": { "type": "text", "text": "x" } });
    let answered = rig.post("/v1/batches", &[], &body.to_string()).await;
    assert_eq!(answered.refusal().2, ["/to required"]);
    assert_eq!(rig.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn refuses_bad_recipients_only_when_asked_to() {
    let rig = Rig::new();
    let body = json!({ "channel": "main", "to": ["a", "!b"], "message": { "type": "text", "text": "" },
                       "options": { "on_invalid": "reject" } });
    let answered = rig.post("/v1/batches", &[], &body.to_string()).await;
    assert_eq!(answered.refusal(), (422, "invalid_request".into(), vec!["/to/1 invalid_recipient".into()]));
    assert_eq!(rig.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn refuses_what_needs_a_durable_batch() {
    let rig = Rig::new();
    let headers = [("idempotency-key", "k"), ("prefer", "respond-async")];
    let answered = rig.post("/v1/batches", &headers, r#"{"channel":"nobody"}"#).await;
    let (status, _, faults) = answered.refusal();
    assert_eq!(status, 422);
    let expected =
        [" not_allowed", " not_allowed", "/message required", "/channel unknown_channel", "/to required"];
    let mut sorted = faults.clone();
    sorted.sort();
    let mut wanted = expected.map(str::to_owned);
    wanted.sort();
    assert_eq!(sorted, wanted);
    assert!(answered.text.contains("batches are kept in memory only here"));
    assert_eq!(rig.send(&headers, &["a"]).await.status, 422);
    assert_eq!(rig.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn refuses_bodies_that_are_not_json() {
    let rig = Rig::new();
    let code = |answered: Answered| answered.refusal().1;
    assert_eq!(code(rig.post("/v1/batches", &[], "{\"to\":").await), "invalid_json");
    let raw = |headers: &[(&str, &str)], body: Body| request("POST", "/v1/batches", headers, body);
    let json_type = ("content-type", "Application/JSON; charset=utf-8");
    let not_text = raw(&[json_type], Body::from(vec![0xff, 0xfe]));
    assert_eq!(code(rig.call(not_text).await), "invalid_json");
    for headers in [
        &[][..],
        &[("content-type", "application/x-www-form-urlencoded")],
        &[("content-type", "text/json")],
        &[json_type, ("content-encoding", "gzip")],
    ] {
        let answered = rig.call(raw(headers, Body::from(short_form(&["a"])))).await;
        assert_eq!(answered.refusal().1, "unsupported_media_type", "{headers:?}");
    }
    let sound = raw(&[json_type], Body::from(short_form(&["a"])));
    assert_eq!(rig.call(sound).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_over_the_limit_is_413_announced_or_not() {
    let rig = Rig::with(|settings| settings.limits.body_bytes = 100);
    let long = " ".repeat(101);
    assert_eq!(rig.post("/v1/batches", &[], &long).await.refusal().1, "too_large");
    let headers = [("content-type", "application/json"), ("content-length", "101")];
    let announced = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::Untouched));
    assert_eq!(rig.call(announced).await.refusal().1, "too_large");
    let pieces = Body::from_stream(Pieces::Blanks(101));
    let chunked = request("POST", "/v1/batches", &headers[..1], pieces);
    assert_eq!(rig.call(chunked).await.refusal().1, "too_large");
    assert_eq!(rig.send(&[], &["a"]).await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn bodies_beyond_the_room_that_others_leave_are_503() {
    let rig = Rig::with(|settings| settings.limits.held_body_bytes = 100_000);
    let headers = [("content-type", "application/json"), ("content-length", "50000")];
    let large = request("POST", "/v1/batches", &headers[..1], Body::from_stream(Pieces::dripping(60_000)));
    let others = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let announced = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::Untouched));
        let answered = rig.call(announced).await;
        assert_eq!(answered.header("retry-after"), Some("1"));
        assert_eq!(answered.refusal().1, "overloaded");
        let pieces = Body::from_stream(Pieces::Blanks(50_000));
        let chunked = request("POST", "/v1/batches", &headers[..1], pieces);
        assert_eq!(rig.call(chunked).await.refusal().1, "overloaded");
    };
    let (large, ()) = tokio::join!(rig.call(large), others);
    assert_eq!(large.refusal().1, "too_large");
}

#[tokio::test(start_paused = true)]
async fn a_body_that_there_is_never_room_for_is_413() {
    let rig = Rig::with(|settings| settings.limits.held_body_bytes = 50);
    let answered = rig.send(&[], &["a"]).await;
    assert_eq!(answered.header("retry-after"), None);
    assert_eq!(answered.refusal().1, "too_large");
    let pieces = Body::from_stream(Pieces::Blanks(51));
    let chunked = request("POST", "/v1/batches", &[("content-type", "application/json")], pieces);
    assert_eq!(rig.call(chunked).await.refusal().1, "too_large");
}

#[tokio::test(start_paused = true)]
async fn a_long_body_that_is_only_announced_leaves_room_for_others() {
    let rig = Rig::with(|settings| settings.limits.held_body_bytes = 1 << 20);
    let headers = [("content-type", "application/json"), ("content-length", "1048576")];
    let announced = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::Stuck));
    let answered = tokio::select! {
        biased;
        _ = rig.call(announced) => panic!("nothing came"),
        answered = rig.send(&[], &["a"]) => answered,
    };
    assert_eq!(answered.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_stops_coming_is_408() {
    let headers = [("content-type", "application/json")];
    let stuck = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::Stuck));
    let answered = Rig::new().call(stuck).await;
    assert_eq!(answered.header("connection"), Some("close"));
    assert_eq!(answered.refusal(), (408, "timeout".into(), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_drips_is_408_before_long() {
    let rig = Rig::new();
    let headers = [("content-type", "application/json")];
    let began = tokio::time::Instant::now();
    let dripping = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::dripping(1)));
    assert_eq!(rig.call(dripping).await.refusal().1, "timeout");
    assert_eq!(began.elapsed().as_secs(), 10);
    // What comes fast enough may come for long: 1 MiB in 15 seconds.
    let steady = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::dripping(70_000)));
    assert_eq!(rig.call(steady).await.refusal().1, "too_large");
    assert_eq!(rig.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_request_is_shed_before_its_body_is_touched() {
    let headers = [("content-type", "application/json"), ("content-length", "1000000")];
    let untouched = || request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::Untouched));
    let shed = |answered: Answered| {
        assert_eq!(answered.header("retry-after"), Some("1"));
        answered.refusal().1
    };
    let rig = Rig::with(|settings| settings.limits.batches_in_progress = 1);
    assert_eq!(rig.send(&[("prefer", "wait=0")], &["slow"]).await.status, 202);
    assert_eq!(shed(rig.call(untouched()).await), "overloaded");
    rig.api.dispatcher.refuse_new();
    assert_eq!(shed(rig.call(untouched()).await), "draining");
    let small = Rig::with(|settings| settings.limits.held_body_bytes = 999_999);
    assert_eq!(small.call(untouched()).await.refusal().1, "too_large");
    assert_eq!(small.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_head_over_its_limits_is_refused() {
    let rig = Rig::new();
    let path = |length: usize| format!("/livez?{}", "x".repeat(length - "/livez?".len()));
    assert_eq!(rig.get(&path(8 * 1024), &[]).await.status, 200);
    let refusal = rig.get(&path(8 * 1024 + 1), &[]).await.refusal();
    assert_eq!(refusal, (414, "uri_too_long".into(), Vec::new()));
    let headers: Vec<_> = std::iter::repeat_n(("x-y", "z"), 65).collect();
    assert_eq!(rig.get("/livez", &headers[1..]).await.status, 200);
    let refusal = rig.get("/livez", &headers).await.refusal();
    assert_eq!(refusal, (431, "too_many_headers".into(), Vec::new()));
}

#[tokio::test(start_paused = true)]
async fn a_large_body_is_read_beside_the_connections() {
    let ids: Vec<_> = (0..20_000).map(|number| format!("recipient-{number:06}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let answered = Rig::new().send(&[], &ids).await;
    assert_eq!(answered.status, 200);
    assert_eq!(answered.json()["counts"]["accepted"], 20_000);
    assert_eq!(answered.json()["results_truncated"], true);
}

#[tokio::test(start_paused = true)]
async fn refuses_new_batches_when_full_or_draining() {
    let rig = Rig::with(|settings| settings.limits.batches_in_progress = 1);
    assert_eq!(rig.send(&[("prefer", "wait=0")], &["slow"]).await.status, 202);
    assert_eq!(rig.send(&[], &["a"]).await.refusal().1, "overloaded");
    assert_eq!(rig.get("/readyz", &[]).await.status, 200);
    rig.api.dispatcher.leave();
    assert_eq!(rig.get("/readyz", &[]).await.refusal().0, 503);
    assert_eq!(rig.send(&[], &["a"]).await.refusal().1, "overloaded");
    rig.api.dispatcher.refuse_new();
    assert_eq!(rig.send(&[], &["a"]).await.refusal().1, "draining");
    assert_eq!(rig.get("/livez", &[]).await.text, "live\n");
}

#[tokio::test(start_paused = true)]
async fn a_panic_before_the_hand_over_is_500() {
    let headers = [("content-type", "application/json")];
    let planted = request("POST", "/v1/batches", &headers, Body::from_stream(Pieces::Untouched));
    assert_eq!(Rig::new().call(planted).await.refusal().1, "internal");
}

#[tokio::test]
async fn after_the_hand_over_no_fault_of_ours_is_an_error() {
    let rig = Rig::new();
    let id = BatchId::new(1, 1);
    let state = State::new(Arc::clone(&rig.api));
    let router = axum::Router::new()
        .route(
            "/",
            get(move |Extension(handed_over): Extension<HandedOver>| async move {
                handed_over.set(id);
                Problem::new(ProblemCode::Internal, "planted")
            }),
        )
        .layer(from_fn_with_state(state, identify));
    let response = router.oneshot(request("GET", "/", &[], Body::empty())).await.unwrap();
    let answered = Answered::read(response).await;
    assert_eq!(answered.status, 202);
    assert_eq!(answered.json()["id"], id.to_string());
    assert_eq!(answered.header("location"), Some(format!("/v1/batches/{id}").as_str()));
}

/// A body that comes in pieces and does not announce its length.
pub(super) enum Pieces {
    /// Must not be asked for anything.
    Untouched,
    /// Never comes.
    Stuck,
    /// So many blanks.
    Blanks(usize),
    /// So many blanks every second.
    Dripping(usize, Pin<Box<tokio::time::Sleep>>),
}

impl Pieces {
    fn dripping(count: usize) -> Self {
        Self::Dripping(count, Box::pin(tokio::time::sleep(Duration::from_secs(1))))
    }
}

impl Stream for Pieces {
    type Item = Result<Bytes, std::convert::Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        match &mut *self {
            Self::Untouched => panic!("the body was read"),
            Self::Stuck => Poll::Pending,
            Self::Dripping(count, pause) => {
                std::task::ready!(pause.as_mut().poll(context));
                let piece = vec![b' '; *count];
                pause.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(1));
                Poll::Ready(Some(Ok(piece.into())))
            }
            Self::Blanks(0) => Poll::Ready(None),
            Self::Blanks(left) => {
                *left -= 1;
                Poll::Ready(Some(Ok(Bytes::from_static(b" "))))
            }
        }
    }
}
