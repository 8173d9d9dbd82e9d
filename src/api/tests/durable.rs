//! What is answered when the store is away, or lost while it wrote.

use std::sync::Arc;
use std::time::Duration;

use crate::api::answer::NoAnswer;
use crate::api::keys::settings::Rights;
use crate::api::tests::keys::key;
use crate::api::tests::rig::{Rig, request, short_form};
use crate::domain::id::BatchId;
use crate::store::model::{Doubt, ModelStore};

const ASYNC: &[(&str, &str)] = &[("prefer", "respond-async, wait=25")];

fn rig() -> (Rig, ModelStore) {
    let store = ModelStore::default();
    (Rig::with_store(Arc::new(store.clone())), store)
}

#[tokio::test(start_paused = true)]
async fn what_has_to_be_written_is_refused_while_the_store_is_away() {
    let (rig, store) = rig();
    assert_eq!(
        rig.get("/readyz", &[]).await.text,
        "ready\nbatches: durable\nbudgets: this process's own (store.replicas)\n"
    );
    store.set_away(true);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.get("/readyz", &[]).await.refusal().1, "store_unavailable");
    assert_eq!(rig.get("/livez", &[]).await.status, 200);
    for (headers, detail) in [
        (ASYNC, "batches cannot be written now; nothing was sent"),
        // An earlier request with this key may have been.
        (
            &[("idempotency-key", "k")],
            "whether this key names an earlier batch cannot be read now; this request sent nothing",
        ),
    ] {
        let refused = rig.send(headers, &["a"]).await;
        assert_eq!(refused.json()["detail"], detail);
        assert_eq!(refused.refusal().1, "store_unavailable");
        assert_eq!(refused.header("retry-after"), Some("5"));
    }
    assert_eq!(rig.get("/v1/batches", &[]).await.refusal().1, "store_unavailable");
    assert_eq!(rig.calls(), 0);
    // What need not be written goes.
    assert_eq!(rig.send(&[], &["a"]).await.status, 200);
    store.set_away(false);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(rig.get("/readyz", &[]).await.status, 200);
    assert_eq!(rig.send(ASYNC, &["a"]).await.status, 200);
    assert_eq!(rig.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_commit_whose_answer_was_lost_is_looked_up() {
    for (doubt, status, calls) in [(Doubt::Written, 200, 1), (Doubt::NotWritten, 503, 0)] {
        let (rig, store) = rig();
        store.set_doubt(doubt);
        assert_eq!(rig.send(ASYNC, &["a"]).await.status, status, "{doubt:?}");
        assert_eq!(rig.calls(), calls, "{doubt:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn while_nobody_knows_whether_a_batch_was_written_there_is_no_answer() {
    let (rig, store) = rig();
    store.set_doubt(Doubt::Written);
    store.set_away_after_doubt();
    let sent = request(
        "POST",
        "/v1/batches",
        &[("content-type", "application/json"), ("prefer", "respond-async")],
        short_form(&["a"]).into(),
    );
    let response = tower::ServiceExt::oneshot(rig.router.clone(), sent).await.unwrap();
    assert!(response.extensions().get::<NoAnswer>().is_some(), "{response:?}");
    assert_eq!(rig.calls(), 0);
    // It was written, so that it is sent as soon as that is known.
    store.set_away(false);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(rig.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_answer_before_the_end_waits_until_the_batch_is_written() {
    let (rig, store) = rig();
    store.set_away(true);
    let begin = tokio::time::Instant::now();
    let back = async {
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!store.log().contains(&"accept".to_owned()));
        store.set_away(false);
    };
    let (answer, ()) = tokio::join!(rig.send(&[("prefer", "wait=1")], &["slow"]), back);
    assert_eq!(answer.status, 202);
    assert!(begin.elapsed() >= Duration::from_secs(20));
    assert!(store.log().contains(&"accept".to_owned()));
}

/// Another process on the same store.
fn beside(store: &ModelStore) -> Rig {
    Rig::with_store(Arc::new(store.clone()))
}

fn finds(store: &ModelStore) -> usize {
    store.shared.lock().unwrap().finds
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_a_key_names_is_never_answered_as_if_nothing_was_sent() {
    let (elsewhere, store) = rig();
    let keyed = |wait| [("idempotency-key", "k"), ("prefer", wait)];
    let first = elsewhere.send(&keyed("wait=0"), &["slow"]).await;
    assert_eq!(first.status, 202);
    let rig = beside(&store);
    let away = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        store.set_away(true);
    };
    let patient = keyed("wait=5");
    let (lost, ()) = tokio::join!(rig.send(&patient, &["slow"]), away);
    store.set_away(false);
    let id = first.header("batch-id").unwrap();
    store.shared.lock().unwrap().forget(BatchId::parse(id).unwrap());
    let gone = rig.send(&patient, &["slow"]).await;
    for answered in [lost, gone] {
        assert_eq!(answered.status, 202, "{}", answered.text);
        assert_eq!(answered.header("batch-id"), Some(id));
        assert_eq!(answered.header("idempotency-replayed"), Some("true"));
        assert_eq!(answered.json()["id"], id);
    }
    assert_eq!(rig.calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_for_another_process_reads_the_report_once() {
    let (elsewhere, store) = rig();
    let sent = elsewhere.send(&[("prefer", "respond-async, wait=0")], &["slow"]).await;
    let rig = beside(&store);
    let path = sent.header("location").unwrap();
    let before = finds(&store);
    let waited = rig.get(path, &[("prefer", "wait=25")]).await;
    assert_eq!(waited.json()["status"], "processing");
    assert_eq!(finds(&store) - before, 1);
    let begin = tokio::time::Instant::now();
    rig.get(path, &[("prefer", "wait=25")]).await;
    let ended = rig.get(path, &[("prefer", "wait=25")]).await;
    assert_eq!(ended.json()["status"], "completed");
    assert!(begin.elapsed() < Duration::from_secs(40), "it is told when it ends");
    assert_eq!(finds(&store) - before, 3);
}

#[tokio::test(start_paused = true)]
async fn the_pages_of_a_large_batch_are_of_one_reading() {
    let (elsewhere, store) = rig();
    let ids: Vec<_> = (0..1_500).map(|number| format!("user{number:05}")).collect();
    let ids: Vec<_> = ids.iter().map(String::as_str).collect();
    let sent = elsewhere.send(&[], &ids).await;
    while elsewhere.api.dispatcher.running_count() > 0 {
        tokio::task::yield_now().await;
    }
    let rig = beside(&store);
    let id = sent.header("batch-id").unwrap();
    let path = format!("/v1/batches/{id}/results?page_size=1000");
    let before = finds(&store);
    let first = rig.get(&path, &[]).await;
    let token = first.json()["next_page_token"].as_str().unwrap().to_owned();
    let second = rig.get(&format!("{path}&page_token={token}"), &[]).await;
    assert_eq!(second.json()["results"].as_array().unwrap().len(), 500);
    assert_eq!(finds(&store) - before, 1);
    store.shared.lock().unwrap().forget(BatchId::parse(id).unwrap());
    assert_eq!(rig.get(&path, &[]).await.status, 404, "what is no longer kept is no longer told");
}

#[tokio::test(start_paused = true)]
async fn nothing_of_another_callers_batch_is_read() {
    let store = ModelStore::default();
    let (own, own_key) = key("billing", Rights::default());
    let (foreign, foreign_key) = key("shop", Rights::default());
    let keys = [own_key, foreign_key];
    let on = || Rig::assemble_on(Arc::new(store.clone()), &keys, |_| {}, |_| {});
    let (elsewhere, rig) = (on(), on());
    let sent = elsewhere.send(&[("prefer", "respond-async"), ("authorization", &own)], &["a"]).await;
    let path = format!("/v1/batches/{}", sent.header("batch-id").unwrap());
    let before = finds(&store);
    for (method, rest) in [("GET", ""), ("GET", "/results"), ("POST", "/resend")] {
        let path = format!("{path}{rest}");
        let asked = request(method, &path, &[("authorization", &foreign)], axum::body::Body::empty());
        assert_eq!(rig.call(asked).await.status, 404, "{path}");
    }
    assert_eq!(finds(&store), before);
    assert_eq!(rig.get(&path, &[("authorization", &own)]).await.status, 200);
    assert_eq!(finds(&store), before + 1);
}
