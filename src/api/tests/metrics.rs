//! `/metrics`: who serves it, in which format, and that nobody can make it grow.

use std::sync::Arc;

use axum::body::Body;
use http::Request;
use tower::ServiceExt as _;

use crate::api::MetricsAt;
use crate::api::router::{State, build, build_admin};
use crate::api::tests::rig::{Answered, Rig, request, short_form};
use crate::dispatch::clock::Randomness;
use crate::telemetry::metrics::tests::{samples, sum};

async fn call(router: &axum::Router, path: &str) -> Answered {
    let answered = router.clone().oneshot(request("GET", path, &[], Body::empty())).await.unwrap();
    Answered::read(answered).await
}

#[tokio::test(start_paused = true)]
async fn the_api_serves_metrics_unless_the_admin_listener_does() {
    let rig = Rig::new();
    let state = State::new(Arc::clone(&rig.api));
    let answered = call(&build(&state, MetricsAt::Api), "/metrics").await;
    assert_eq!(answered.status, 200);
    let expected = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert_eq!(answered.header("content-type"), Some(expected));
    assert!(answered.text.ends_with("# EOF\n"));
    assert_eq!(call(&build(&state, MetricsAt::Admin), "/metrics").await.status, 404);
    let admin = build_admin(&state);
    for path in ["/metrics", "/livez", "/readyz"] {
        assert_eq!(call(&admin, path).await.status, 200, "{path}");
    }
    for path in ["/v1/batches", "/v1/channels", "/"] {
        assert_eq!(call(&admin, path).await.status, 404, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn answers_and_refusals_are_counted() {
    let rig = Rig::new();
    rig.send(&[], &["a"]).await;
    rig.send(&[], &["bad"]).await;
    rig.post("/v1/batches", &[], "{").await;
    rig.post("/v1/batches", &[], "{}").await;
    rig.get("/v1/batches/bat_00000000000000000000000000", &[]).await;
    rig.get("/nothing/here", &[]).await;
    let text = rig.get("/metrics", &[]).await.text;
    let found = samples(&text);
    for (series, count) in [
        (r#"http_requests_total{method="POST",route="/v1/batches",status="2xx"}"#, 2.0),
        (r#"http_requests_total{method="POST",route="/v1/batches",status="4xx"}"#, 2.0),
        (r#"http_requests_total{method="GET",route="/v1/batches/{id}",status="4xx"}"#, 1.0),
        (r#"http_requests_total{method="GET",route="none",status="4xx"}"#, 1.0),
        (r#"refusals_total{code="invalid_json"}"#, 1.0),
        (r#"refusals_total{code="invalid_request"}"#, 1.0),
        (r#"refusals_total{code="not_found"}"#, 2.0),
        ("held_body_bytes", 0.0),
    ] {
        assert_eq!(found.get(&format!("imcast_{series}")), Some(&count), "{series}: {text}");
    }
}

/// A caller who tries everything, and whose own words all hold `zebra`.
fn any_request(randomness: &Randomness) -> Request<Body> {
    let draw = |most: u64| randomness.next() % most;
    let number = draw(1_000_000);
    let method = ["GET", "POST", "POST", "DELETE", "PATCH", "ZEBRA"][usize::try_from(draw(6)).unwrap()];
    let path = match draw(9) {
        0 => format!("/zebra/{number}"),
        1 => format!("/v1/batches/zebra{number}"),
        2 => format!("/v1/batches/zebra{number}/results?status=zebra{number}"),
        3 => format!("/v1/channels/zebra{number}"),
        4 => format!("/v1/batches/zebra{number}/cancel"),
        5 => "/v1/batches/plan".to_owned(),
        6 => format!("/metrics?zebra={number}"),
        _ => "/v1/batches".to_owned(),
    };
    let to = [format!("zebra{number}"), format!("bad-zebra{number}"), format!("lost-zebra{number}")];
    let to: Vec<&str> = to.iter().take(usize::try_from(1 + draw(3)).unwrap()).map(String::as_str).collect();
    let body = match draw(6) {
        0 => format!("{{\"zebra{number}\":1}}"),
        1 => format!("zebra{number}"),
        2 => short_form(&to).replace("main", &format!("zebra{number}")),
        3 => short_form(&to).replace("text", &format!("zebra{number}")),
        _ => short_form(&to),
    };
    let name = format!("zebra-{number}");
    let headers = [
        ("content-type", if draw(9) == 0 { &*name } else { "application/json" }),
        ("x-request-id", &*name),
        ("traceparent", &*name),
        ("user-agent", &*name),
    ];
    request(method, &path, &headers, Body::from(body))
}

#[tokio::test(start_paused = true)]
async fn callers_cannot_make_the_series_grow() {
    let rig = Rig::with(|settings| settings.limits.batches_in_progress = 100_000);
    let randomness = Randomness::seeded(7);
    let mut counts = Vec::new();
    for _ in 0..4 {
        for _ in 0..2_500 {
            rig.call(any_request(&randomness)).await;
        }
        let text = rig.get("/metrics", &[]).await.text;
        assert!(!text.to_lowercase().contains("zebra"), "{text}");
        counts.push(samples(&text).len());
    }
    assert!(counts[3] <= 400, "{counts:?}");
    assert!(counts[3] - counts[1] <= 5, "they do not grow with the requests: {counts:?}");
    let text = rig.get("/metrics", &[]).await.text;
    assert!(sum(&text, &["imcast_http_requests_total"]) >= 10_000.0);
    assert!(sum(&text, &["imcast_recipients_total"]) > 300.0);
}
