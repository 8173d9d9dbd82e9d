//! Cancels of durable batches: they hold whoever works on the batch, and whatever becomes of the process.

use std::sync::Arc;
use std::time::Duration;

use crate::dispatch::tests::durable::{calls, die_after, go_on, process, rig, script, setup, start};
use crate::dispatch::tests::rig::{Rig, Setup, words};
use crate::domain::batch::RetryUnknown;
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::id::BatchId;
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::Positions;
use crate::domain::report::{Remarks, Report, Settled};
use crate::store::Store as _;
use crate::store::durable::Durable as _;
use crate::store::model::ModelStore;

async fn end(store: &ModelStore, id: BatchId) -> Arc<Report> {
    loop {
        let report = store.find(id).await.unwrap().unwrap();
        if report.is_over() {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A process that does not have the channel of the batches.
fn elsewhere(store: &ModelStore) -> Rig {
    let setup = Setup { name: "another", store: Arc::new(store.clone()), ..setup() };
    Rig::new(setup, script(store, "ok"))
}

#[test]
fn a_cancel_that_comes_before_the_batch_is_taken_over_stops_it() {
    let store = ModelStore::default();
    let id = die_after(&store, 0.5, RetryUnknown::Never);
    let report = process(async {
        let rig = rig(&store, script(&store, "ok"));
        rig.dispatcher.cancel(id).await.unwrap();
        // What was read before the cancel was written does not show it.
        store.shared.lock().unwrap().forget_cancel(id);
        rig.dispatcher.recover();
        end(&store, id).await
    });
    assert!(report.canceled);
    assert_eq!(calls(&store), ["a"]);
}

/// Whether a batch that waits for its channel ends soon after `cancel`.
fn a_waiting_batch_ends(cancel: &impl AsyncFn(&Rig, &ModelStore, BatchId)) {
    let store = ModelStore::default();
    let id = die_after(&store, 1.5, RetryUnknown::Allowed);
    let report = process(async {
        let rig = elsewhere(&store);
        rig.dispatcher.recover();
        tokio::time::sleep(Duration::from_secs(5)).await;
        cancel(&rig, &store, id).await;
        let ended = tokio::time::timeout(Duration::from_secs(3), end(&store, id)).await;
        ended.expect("it is still waiting")
    });
    assert!(report.canceled);
    assert_eq!(words(&report), ["accepted:1", "unknown:internal:1", "failed:canceled:0"]);
    assert_eq!(calls(&store), ["a", "b"]);
}

#[test]
fn a_batch_whose_channel_is_gone_ends_when_it_is_canceled() {
    a_waiting_batch_ends(&async |rig, store, id| {
        rig.dispatcher.cancel(id).await.unwrap();
        // Only this process knows.
        store.shared.lock().unwrap().forget_cancel(id);
    });
}

#[test]
fn a_batch_whose_channel_is_gone_ends_when_another_process_is_told_to_cancel_it() {
    a_waiting_batch_ends(&async |_, store, id| store.cancel(id).await.unwrap());
}

#[test]
fn a_batch_is_canceled_also_if_its_process_dies_before_its_end_is_written() {
    let store = ModelStore::default();
    let id = die_after(&store, 0.5, RetryUnknown::Never);
    process(async {
        let positions = Positions::Range(1..3);
        let canceled = Outcome::failed(Failure::gateway(FailureKind::Canceled));
        let outcomes = Outcomes::same(canceled, positions.len());
        store.settle(id, 0, Settled { positions, outcomes, attempts: 0 }, Remarks::default()).await.unwrap();
    });
    let report = go_on(&store, id, "ok");
    assert_eq!(words(&report), ["unknown:internal:1", "failed:canceled:0", "failed:canceled:0"]);
    assert!(report.canceled);
}

#[test]
fn a_cancel_is_written_when_the_store_is_back_though_nobody_waits_for_it() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &["a", "b"], RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_millis(500)).await);
        store.set_away(true);
        let cancel = rig.dispatcher.cancel(running.id());
        assert!(tokio::time::timeout(Duration::from_secs(2), cancel).await.is_err());
        store.set_away(false);
        assert!(running.finished(Duration::from_secs(5)).await);
        assert_eq!(words(&running.report()), ["accepted:1", "failed:canceled:0"]);
        tokio::time::sleep(Duration::from_secs(5)).await;
    });
    assert!(store.log().iter().any(|line| line == "cancel"), "{:?}", store.log());
}

#[test]
fn a_cancel_of_a_batch_that_is_over_does_not_wait_for_its_end_to_be_written() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &["a"], RetryUnknown::Never).await;
        store.set_away(true);
        running.0.finish(rig.dispatcher.now());
        let cancel = rig.dispatcher.cancel(running.id());
        assert!(tokio::time::timeout(Duration::from_secs(1), cancel).await.is_ok());
    });
}

#[test]
fn what_others_run_and_end_is_not_remembered_for_ever() {
    let store = ModelStore::default();
    let id = die_after(&store, 0.5, RetryUnknown::Never);
    process(async {
        let rig = elsewhere(&store);
        rig.dispatcher.cancel(id).await.unwrap();
        assert!(rig.dispatcher.shared.canceled.has(id), "whoever has read it as running finds this");
        let mut report = (*store.find(id).await.unwrap().unwrap()).clone();
        report.completed_at = Some(report.batch.created_at);
        store.finish(Arc::new(report)).await.unwrap();
        rig.dispatcher.recover();
        tokio::time::sleep(Duration::from_secs(590)).await;
        assert!(rig.dispatcher.shared.canceled.has(id));
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert!(!rig.dispatcher.shared.canceled.has(id));
    });
}
