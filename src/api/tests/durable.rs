//! What is answered when the store is away, or lost while it wrote.

use std::sync::Arc;
use std::time::Duration;

use crate::api::answer::NoAnswer;
use crate::api::tests::rig::{Rig, request, short_form};
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
    for headers in [ASYNC, &[("idempotency-key", "k")]] {
        let refused = rig.send(headers, &["a"]).await;
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
