use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::ServiceExt as _;

use crate::api::keys::key::Key;
use crate::api::keys::settings::{KeySettings, Rights};
use crate::api::router::{State, build_admin};
use crate::api::tests::rig::{Answered, Rig, request, short_form};
use crate::domain::id::{BatchId, ChannelName};

/// A key of `name` with these rights, as the header that a caller sends and as the configuration knows it.
pub(super) fn key(name: &str, rights: Rights) -> (String, KeySettings) {
    let key = Key::generate().unwrap();
    let settings =
        KeySettings { name: name.into(), id: Some(key.id.as_str().into()), digest: key.digest(), rights };
    (format!("Bearer {}", key.text.expose()), settings)
}

pub(super) fn limited(batches: u32, recipients: u32) -> Rights {
    Rights {
        batches_per_second: NonZeroU32::new(batches),
        recipients_per_minute: NonZeroU32::new(recipients),
        ..Rights::default()
    }
}

fn only_main() -> Rights {
    Rights { channels: Some([ChannelName::parse("main").unwrap()].into()), ..Rights::default() }
}

async fn ask(rig: &Rig, authorization: &str, method: &str, path: &str, channel: &str) -> Answered {
    let mut headers = vec![("content-type", "application/json")];
    if !authorization.is_empty() {
        headers.push(("authorization", authorization));
    }
    let body = match channel {
        "" => Body::empty(),
        channel => Body::from(short_form(&["a", "bad"]).replace("main", channel)),
    };
    rig.call(request(method, path, &headers, body)).await
}

/// Method, path, channel of the body, and the statuses for: no key, a wrong key, the batch's own caller (all
/// channels), another caller (only `main`), an operator (only `main`).
const RIGHTS: &[(&str, &str, &str, [u16; 5])] = &[
    ("POST", "/v1/batches", "main", [401, 401, 207, 207, 207]),
    ("POST", "/v1/batches", "other", [401, 401, 207, 403, 403]),
    ("POST", "/v1/batches", "nobody", [401, 401, 422, 403, 403]),
    ("POST", "/v1/batches/plan", "main", [401, 401, 200, 200, 200]),
    ("POST", "/v1/batches/plan", "other", [401, 401, 200, 403, 403]),
    ("GET", "/v1/batches", "", [401, 401, 200, 200, 200]),
    ("GET", "/v1/batches/{id}", "", [401, 401, 200, 404, 200]),
    ("GET", "/v1/batches/{id}/results", "", [401, 401, 200, 404, 200]),
    ("POST", "/v1/batches/{id}/cancel", "", [401, 401, 200, 404, 200]),
    // The batch went through `other`.
    ("POST", "/v1/batches/{id}/resend", "", [401, 401, 207, 404, 403]),
    ("GET", "/v1/channels", "", [401, 401, 200, 200, 200]),
    ("GET", "/v1/channels/main", "", [401, 401, 200, 200, 200]),
    ("GET", "/v1/channels/other", "", [401, 401, 200, 403, 200]),
    ("GET", "/v1/channels/nobody", "", [401, 401, 404, 403, 404]),
    ("GET", "/metrics", "", [401, 401, 403, 403, 200]),
    ("GET", "/v1/nowhere", "", [401, 401, 404, 404, 404]),
    ("GET", "/livez/", "", [401, 401, 404, 404, 404]),
    ("DELETE", "/v1/batches", "", [401, 401, 405, 405, 405]),
    ("GET", "/livez", "", [200, 200, 200, 200, 200]),
    ("GET", "/readyz", "", [200, 200, 200, 200, 200]),
    ("GET", "/openapi.json", "", [200, 200, 200, 200, 200]),
];

/// Every operation of one batch: method and what follows its path.
const OF_A_BATCH: &[(&str, &str)] =
    &[("GET", ""), ("GET", "/results"), ("POST", "/cancel"), ("POST", "/resend")];

/// Every operation of the committed document, as method and path, and whether it asks for a key.
fn operations() -> BTreeMap<(String, String), bool> {
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    assert_eq!(document["security"], json!([{"key": []}]));
    let mut operations = BTreeMap::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let asks = operation.get("security") != Some(&json!([]));
            operations.insert((method.to_uppercase(), path.clone()), asks);
        }
    }
    operations
}

/// A new operation is red here until somebody has thought about who may use it.
#[test]
fn every_operation_of_the_document_is_in_the_tables_of_rights() {
    let operations = operations();
    let template = |path: &str| match path.strip_prefix("/v1/channels/") {
        Some(_) => "/v1/channels/{name}".to_owned(),
        None => path.to_owned(),
    };
    let mut judged = BTreeMap::new();
    for (method, path, _, [nobody, ..]) in RIGHTS {
        judged.insert(((*method).to_owned(), template(path)), *nobody == 401);
    }
    judged.retain(|operation, _| {
        let is_none = [("GET", "/v1/nowhere"), ("GET", "/livez/"), ("DELETE", "/v1/batches")];
        !is_none.contains(&(operation.0.as_str(), operation.1.as_str()))
    });
    assert_eq!(judged, operations);

    let of_a_batch: BTreeSet<_> = operations
        .into_keys()
        .filter_map(|(method, path)| Some((method, path.strip_prefix("/v1/batches/{id}")?.to_owned())))
        .collect();
    let judged = OF_A_BATCH.iter().map(|(method, rest)| ((*method).to_owned(), (*rest).to_owned()));
    assert_eq!(judged.collect::<BTreeSet<_>>(), of_a_batch);
}

#[tokio::test(start_paused = true)]
async fn every_operation_asks_for_the_right_key() {
    let (own, own_settings) = key("own", Rights::default());
    let (other, other_settings) = key("other", only_main());
    let (operator, operator_settings) = key("operator", Rights { is_operator: true, ..only_main() });
    let rig = Rig::with_keys(&[own_settings, other_settings, operator_settings]);
    let wrong = key("own", Rights::default()).0;
    let sent = ask(&rig, &own, "POST", "/v1/batches", "other").await;
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    for (method, path, channel, expected) in RIGHTS {
        let path = path.replace("{id}", &id);
        let mut found = [0; 5];
        for (status, key) in found.iter_mut().zip(["", &wrong, &own, &other, &operator]) {
            let before = rig.calls();
            let answered = ask(&rig, key, method, &path, channel).await;
            *status = answered.status;
            // Only what sends answers so: the recipient `bad` is always refused by the provider.
            assert_eq!(rig.calls() > before, answered.status == 207, "{method} {path}");
            if answered.status == 401 {
                assert_eq!(answered.refusal().1, "unauthenticated");
                assert!(answered.header("www-authenticate").unwrap().starts_with("Bearer"));
            }
        }
        assert_eq!(found, *expected, "{method} {path} {channel}");
    }
    for path in ["/openapi.json", "/docs"] {
        assert_ne!(ask(&rig, "", "GET", path, "").await.status, 401, "{path}");
    }
    let names = |answered: Answered| answered.json()["channels"].as_array().unwrap().len();
    assert_eq!(names(ask(&rig, &other, "GET", "/v1/channels", "").await), 1);
    assert_eq!(names(ask(&rig, &operator, "GET", "/v1/channels", "").await), 2);
}

#[tokio::test(start_paused = true)]
async fn without_keys_nobody_is_asked_for_one() {
    let rig = Rig::new();
    let sent = ask(&rig, "", "POST", "/v1/batches", "main").await;
    assert_eq!(sent.status, 207);
    assert_eq!(ask(&rig, "Bearer nonsense", "POST", "/v1/batches", "main").await.status, 207);
    let resend = format!("/v1/batches/{}/resend", sent.json()["id"].as_str().unwrap());
    assert_eq!(ask(&rig, "", "POST", &resend, "").await.status, 207);
    assert_eq!(ask(&rig, "", "GET", "/metrics", "").await.status, 200);
}

/// A refusal without what differs from request to request.
fn bare(answered: &Answered) -> (u16, Value, Vec<String>) {
    let mut json = answered.json();
    for name in ["instance", "request_id"] {
        json.as_object_mut().unwrap().remove(name);
    }
    let headers = answered.headers.keys().map(ToString::to_string);
    (answered.status, json, headers.collect())
}

#[tokio::test(start_paused = true)]
async fn a_foreign_batch_is_as_unknown_as_one_that_never_was() {
    let (own, own_settings) = key("own", Rights::default());
    let (other, other_settings) = key("other", Rights::default());
    let rig = Rig::with_keys(&[own_settings, other_settings]);
    let send = async |to: &str| {
        let headers = [("authorization", &*own), ("prefer", "wait=0")];
        let answered = rig.send(&headers, &[to]).await;
        answered.json()["id"].as_str().unwrap().to_owned()
    };
    let running = send("slow").await;
    let finished = send("bad").await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let unknown = BatchId::new(1, 1).to_string();
    let listed = rig.get("/v1/batches", &[("authorization", &other)]).await;
    assert_eq!((listed.status, &listed.json()["batches"]), (200, &json!([])));
    for (method, rest) in OF_A_BATCH {
        let ask = async |id: &str| {
            let headers = [("authorization", &*other), ("prefer", "wait=25")];
            let path = format!("/v1/batches/{id}{rest}");
            let begun = Instant::now();
            let answered = rig.call(request(method, &path, &headers, Body::empty())).await;
            // On the paused clock: nothing waits for a batch that is somebody else's.
            assert_eq!(begun.elapsed(), Duration::ZERO, "{method} {path}");
            bare(&answered)
        };
        let expected = ask(&unknown).await;
        assert_eq!(expected.0, 404);
        assert_eq!(ask(&running).await, expected, "{method} {rest}");
        assert_eq!(ask(&finished).await, expected, "{method} {rest}");
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    let path = format!("/v1/batches/{running}");
    let report = rig.get(&path, &[("authorization", &own)]).await;
    assert_eq!((report.status, &report.json()["outcome"]), (200, &json!("all_accepted")));
}

#[tokio::test(start_paused = true)]
async fn a_resend_belongs_to_whom_the_batch_belongs_to_also_if_an_operator_asks() {
    let (own, own_settings) = key("own", Rights::default());
    let (other, other_settings) = key("other", Rights::default());
    let (operator, operator_settings) = key("operator", Rights { is_operator: true, ..limited(1, 5) });
    let rig = Rig::with_keys(&[own_settings, other_settings, operator_settings]);
    let mut batch = ask(&rig, &own, "POST", "/v1/batches", "main").await;
    for key in [&own, &operator, &own] {
        let path = format!("/v1/batches/{}", batch.json()["id"].as_str().unwrap());
        batch = ask(&rig, key, "POST", &format!("{path}/resend"), "").await;
        assert_eq!(batch.status, 207);
        // Whoever asks pays.
        assert_eq!(batch.header("ratelimit").is_some(), key == &operator);
        let child = format!("/v1/batches/{}", batch.json()["id"].as_str().unwrap());
        for path in [&path, &child] {
            assert_eq!(ask(&rig, &own, "GET", path, "").await.status, 200);
            assert_eq!(ask(&rig, &other, "GET", path, "").await.status, 404);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_resend_names_every_channel_that_the_key_may_no_longer_use() {
    let (own, own_settings) = key("own", Rights::default());
    let rig = Rig::with_keys(std::slice::from_ref(&own_settings));
    let headers = [("authorization", &*own)];
    let routes = json!({"message": {"type": "text", "text": "hi"}, "routes": [
        {"channel": "main", "to": ["bad"]}, {"channel": "other", "to": ["bad"]},
    ]});
    let sent = rig.post("/v1/batches", &headers, &routes.to_string()).await;
    let id = sent.json()["id"].as_str().unwrap().to_owned();
    rig.api.keys.replace(&[KeySettings { rights: only_main(), ..own_settings }]);
    let calls = rig.calls();
    let refused = ask(&rig, &own, "POST", &format!("/v1/batches/{id}/resend"), "").await;
    assert_eq!(refused.refusal(), (403, "forbidden".into(), vec![" not_allowed".into()]));
    assert!(refused.json()["errors"][0]["detail"].as_str().unwrap().contains("`other`"));
    assert_eq!(rig.calls(), calls);
    let report = ask(&rig, &own, "GET", &format!("/v1/batches/{id}"), "").await;
    assert!(report.json().get("resends").is_none(), "{}", report.text);
}

#[tokio::test(start_paused = true)]
async fn the_admin_listener_asks_for_no_key() {
    let rig = Rig::with_keys(&[key("own", Rights::default()).1]);
    let admin = build_admin(&State::new(Arc::clone(&rig.api)));
    for (path, status) in [("/metrics", 200), ("/livez", 200), ("/readyz", 200), ("/v1/channels", 404)] {
        let answered = admin.clone().oneshot(request("GET", path, &[], Body::empty())).await.unwrap();
        assert_eq!(answered.status(), status, "{path}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_batch_stays_its_callers_when_the_key_changes() {
    let (old, old_settings) = key("own", Rights::default());
    let (new, new_settings) = key("own", Rights::default());
    let rig = Rig::with_keys(&[old_settings, new_settings.clone()]);
    let sent = ask(&rig, &old, "POST", "/v1/batches", "main").await;
    let path = format!("/v1/batches/{}", sent.json()["id"].as_str().unwrap());
    assert_eq!(ask(&rig, &new, "GET", &path, "").await.status, 200);
    rig.api.keys.replace(&[new_settings]);
    assert_eq!(ask(&rig, &old, "GET", &path, "").await.status, 401);
    assert_eq!(ask(&rig, &new, "GET", &path, "").await.status, 200);
}

/// Each is judged in full; a hundred thousand of them: `src/api/keys/attempts.rs`.
const WRONG_KEYS: u32 = 10_000;

#[tokio::test(start_paused = true)]
async fn many_wrong_keys_are_slowed_down_and_lock_nobody_out() {
    let (good, good_settings) = key("good", Rights::default());
    let rig = Rig::with_keys(&[good_settings]);
    let mut answers = [0, 0];
    let count = |answers: &mut [u32; 2], answered: &Answered| match answered.refusal() {
        (401, code, _) if code == "unauthenticated" => answers[0] += 1,
        (429, code, _) if code == "quota_exceeded" => {
            assert_eq!(answered.header("retry-after"), Some("6"));
            answers[1] += 1;
        }
        other => panic!("{other:?}"),
    };
    let mut trying = JoinSet::new();
    for number in 0..WRONG_KEYS {
        let wrong = format!("Bearer imc_{number:016x}.{}", "A".repeat(43));
        let request = request("GET", "/v1/channels", &[("authorization", &wrong)], Body::empty());
        let router = rig.router.clone();
        trying.spawn(async move { Answered::read(router.oneshot(request).await.unwrap()).await });
        if number % 1000 == 0 {
            // Lets them begin, so that only those who are held back are kept.
            while let Some(answered) = trying.try_join_next() {
                count(&mut answers, &answered.unwrap());
            }
            tokio::task::yield_now().await;
        }
    }
    // All from one address, while the wrong ones are held back.
    let begun = Instant::now();
    for _ in 0..100 {
        assert_eq!(ask(&rig, &good, "GET", "/v1/channels", "").await.status, 200);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
    while let Some(answered) = trying.join_next().await {
        count(&mut answers, &answered.unwrap());
    }
    assert_eq!(answers, [25, WRONG_KEYS - 25]);
    assert_eq!(ask(&rig, &good, "GET", "/v1/channels", "").await.status, 200);
}

#[tokio::test(start_paused = true)]
async fn a_doubtful_authorization_is_none() {
    let (good, good_settings) = key("good", Rights::default());
    let rig = Rig::with_keys(&[good_settings]);
    let status = async |headers: &[(&str, &str)]| rig.get("/v1/channels", headers).await.status;
    assert_eq!(status(&[("authorization", &good)]).await, 200);
    assert_eq!(status(&[("authorization", &good.replace("Bearer ", "bearer  "))]).await, 200);
    assert_eq!(status(&[("authorization", &good), ("authorization", &good)]).await, 401);
    assert_eq!(status(&[("authorization", &good.replace("Bearer ", ""))]).await, 401);
    assert_eq!(status(&[("authorization", &good.replace("Bearer", "Basic"))]).await, 401);
    assert_eq!(status(&[("x-api-key", &good)]).await, 401);
}
