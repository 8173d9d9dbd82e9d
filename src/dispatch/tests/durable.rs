//! Durable batches: written before they are sent, and gone on with by the next process.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::runtime::Runtime;

use crate::dispatch::running::Running;
use crate::dispatch::settings::Settings;
use crate::dispatch::start::{StartError, Started, Terms};
use crate::dispatch::tests::rig::{Rig, Script, ScriptFuture, Setup, body, words};
use crate::domain::batch::RetryUnknown;
use crate::domain::id::BatchId;
use crate::domain::recipients::Positions;
use crate::domain::report::{BudgetKind, Remarks, Report, Status};
use crate::domain::samples::accepted;
use crate::store::durable::{Durable as _, IdempotencyKey};
use crate::store::model::{Doubt, ModelStore};
use crate::store::{Filter, Store as _, StoreError};
use crate::transport::TransportError;

/// A process's life: what is left of its work when the runtime is dropped is what a kill leaves.
pub(super) fn process<T>(life: impl Future<Output = T>) -> T {
    runtime().block_on(life)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
}

pub(super) fn setup() -> Setup {
    Setup { recipients_per_call: 1, max_in_flight: 1, ..Setup::default() }
}

/// Answers after a second, and writes down in the store's own log when a call went out.
pub(super) fn script(store: &ModelStore, answer: &'static str) -> Script {
    let store = store.clone();
    Arc::new(move |_, request| {
        let text = String::from_utf8(request.body.to_vec()).unwrap();
        store.shared.lock().unwrap().log.push(format!("call {text}"));
        let answered: ScriptFuture = Box::pin(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            if answer == "lost" { Err(TransportError::Timeout) } else { body(answer) }
        });
        answered
    })
}

pub(super) fn rig(store: &ModelStore, script: Script) -> Rig {
    Rig::new(Setup { store: Arc::new(store.clone()), ..setup() }, script)
}

fn terms(key: Option<IdempotencyKey>) -> Terms {
    Terms { patience: Duration::MAX, is_durable: true, key }
}

pub(super) async fn start(rig: &Rig, to: &[&str], retry_unknown: RetryUnknown) -> Running {
    let mut batch = rig.batch(to);
    batch.retry_unknown = retry_unknown;
    let plan = rig.dispatcher.plan(batch).ok().unwrap();
    match rig.dispatcher.begin(plan, terms(None)).await {
        Ok(Started::New(running)) => running,
        Ok(Started::Known(_)) | Err(_) => panic!("not started"),
    }
}

/// The first process: dies after `seconds`.
pub(super) fn die_after(store: &ModelStore, seconds: f64, retry_unknown: RetryUnknown) -> BatchId {
    process(async {
        let rig = rig(store, script(store, "ok"));
        let running = start(&rig, &["a", "b", "c"], retry_unknown).await;
        assert!(!running.finished(Duration::from_secs_f64(seconds)).await);
        running.id()
    })
}

/// The next process: goes on until the batch is over.
pub(super) fn go_on(store: &ModelStore, id: BatchId, answer: &'static str) -> Arc<Report> {
    process(async {
        let rig = rig(store, script(store, answer));
        rig.dispatcher.recover();
        loop {
            let report = store.find(id).await.unwrap().unwrap();
            if report.is_over() {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

pub(super) fn calls(store: &ModelStore) -> Vec<String> {
    let log = store.log();
    log.iter().filter_map(|line| line.strip_prefix("call ")).map(str::to_owned).collect()
}

#[test]
fn everything_is_written_before_it_happens() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &["a", "b"], RetryUnknown::Never).await;
        assert!(running.finished(Duration::from_secs(10)).await);
        while rig.dispatcher.running_count() > 0 {
            tokio::task::yield_now().await;
        }
    });
    let expected = ["accept", "begin 0", "call a", "settle 0", "begin 1", "call b", "settle 1", "finish"];
    assert_eq!(store.log(), expected);
}

#[test]
fn after_a_kill_what_was_out_is_unknown_what_was_done_stays_and_the_rest_is_sent() {
    let store = ModelStore::default();
    let id = die_after(&store, 1.5, RetryUnknown::Never);
    let report = go_on(&store, id, "ok");
    assert_eq!(words(&report), ["accepted:1", "unknown:internal:1", "accepted:1"]);
    assert_eq!((report.routes[0].calls, report.routes[0].retries), (3, 0));
    assert_eq!(calls(&store), ["a", "b", "c"]);
}

#[test]
fn what_there_is_no_room_for_is_neither_written_nor_followed_by_more() {
    let store = ModelStore::default();
    process(async {
        let setup = Setup { max_in_flight: 1000, store: Arc::new(store.clone()), ..setup() };
        let rig = Rig::new(setup, script(&store, "ok"));
        for _ in 0..150 {
            start(&rig, &["a"], RetryUnknown::Never).await;
        }
        // The calls for everybody are out.
        tokio::time::sleep(Duration::from_millis(500)).await;
    });
    let before = store.log().len();
    process(async {
        let settings = Settings { channel_routes: 1, ..Settings::for_tests() };
        let setup = Setup { settings, store: Arc::new(store.clone()), ..setup() };
        let rig = Rig::new(setup, script(&store, "ok"));
        rig.dispatcher.recover();
        tokio::time::sleep(Duration::from_millis(100)).await;
    });
    // One has room, and is over at once, since all that was out is lost; of the others nothing is written.
    assert_eq!(store.log()[before..], ["claim 100", "settle 0", "finish"]);
}

#[test]
fn a_batch_that_ends_by_a_fault_of_ours_is_written_as_ended() {
    let store = ModelStore::default();
    process(async {
        let panics: Script = Arc::new(|_, _| panic!("planted"));
        let rig = rig(&store, panics);
        let id = start(&rig, &["a"], RetryUnknown::Never).await.id();
        let is_over = async {
            while !store.find(id).await.unwrap().unwrap().is_over() {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), is_over).await.unwrap();
        let report = store.find(id).await.unwrap().unwrap();
        assert_eq!(words(&report), ["unknown:internal:1"]);
    });
}

#[test]
fn what_answers_said_before_a_kill_is_in_the_report() {
    let store = ModelStore::default();
    let id = process(async {
        let rig = rig(&store, script(&store, "ok with remarks"));
        let running = start(&rig, &["a", "b", "c"], RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_millis(1_500)).await);
        running.id()
    });
    let report = go_on(&store, id, "ok with remarks");
    assert_eq!(report.routes[0].provider_request_ids, ["request of a", "request of c"].map(Box::from));
    let warnings: Vec<_> =
        report.warnings.iter().map(|warning| (&*warning.detail, &warning.channel)).collect();
    assert_eq!(warnings, [("seen at a", &Some(report.routes[0].channel.clone()))]);
}

#[test]
fn what_was_decided_between_open_recipients_is_not_sent_again_by_the_third_process() {
    let store = ModelStore::default();
    let eight = ["a", "b", "c", "d", "e", "f", "g", "h"];
    let id = process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &eight, RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_millis(500)).await);
        // A later call was faster.
        store.settle(running.id(), 0, accepted(Positions::Range(2..3)), Remarks::default()).await.unwrap();
        running.id()
    });
    process(async {
        let wide = Setup { recipients_per_call: 4, store: Arc::new(store.clone()), ..setup() };
        let rig = Rig::new(wide, script(&store, "ok"));
        rig.dispatcher.recover();
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    });
    assert_eq!(calls(&store).len(), 3, "a, then those around c, then the last two");
    let report = go_on(&store, id, "ok");
    assert_eq!(calls(&store).len(), 3);
    let (done, lost) = ("accepted:1", "unknown:internal:1");
    assert_eq!(words(&report), [lost, done, done, done, done, done, lost, lost]);
}

#[test]
fn a_batch_that_is_found_while_nobody_knows_whether_it_was_written_runs_once() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        // It looks for batches that nobody works on now, and every two seconds.
        rig.dispatcher.recover();
        tokio::time::sleep(Duration::from_millis(300)).await;
        store.set_doubt(Doubt::Written);
        store.set_away_after_doubt();
        let back = async {
            tokio::time::sleep(Duration::from_millis(1_600)).await;
            store.set_away(false);
        };
        let (running, ()) = tokio::join!(start(&rig, &["a", "b"], RetryUnknown::Never), back);
        assert!(running.finished(Duration::from_secs(60)).await);
        assert_eq!(words(&running.report()), ["accepted:1"; 2]);
        tokio::time::sleep(Duration::from_secs(10)).await;
    });
    assert_eq!(calls(&store), ["a", "b"]);
}

#[test]
fn a_caller_who_accepts_duplicates_gets_the_lost_call_repeated_and_no_false_failure() {
    for (answer, word) in [("ok", "accepted:2"), ("forbidden", "unknown:internal:2")] {
        let store = ModelStore::default();
        let id = die_after(&store, 1.5, RetryUnknown::Allowed);
        let report = go_on(&store, id, answer);
        assert_eq!(words(&report)[1], word);
        assert_eq!(calls(&store)[..3], ["a", "b", "b"]);
    }
}

#[test]
fn a_batch_killed_before_its_first_call_is_sent_whole() {
    let store = ModelStore::default();
    let id = process(async {
        let rig = rig(&store, script(&store, "ok"));
        // Its call takes the only turn.
        start(&rig, &["z"], RetryUnknown::Never).await;
        start(&rig, &["a", "b", "!x", "a"], RetryUnknown::Never).await.id()
    });
    let expected = ["accepted:1", "accepted:1", "failed:invalid_recipient:0", "failed:duplicate_recipient:0"];
    assert_eq!(words(&go_on(&store, id, "ok")), expected);
    assert_eq!(calls(&store), ["z", "a", "b"]);
}

#[test]
fn a_gateway_that_leaves_finishes_its_calls_and_leaves_the_rest_to_the_next() {
    let store = ModelStore::default();
    let id = process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &["a", "b", "c"], RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_millis(500)).await);
        assert!(rig.dispatcher.drain(Duration::from_secs(30)).await);
        assert!(running.finished(Duration::ZERO).await, "whoever waits is told");
        assert_eq!(words(&running.report()), ["accepted:1", "pending", "pending"]);
        running.id()
    });
    assert_eq!(words(&go_on(&store, id, "ok")), ["accepted:1"; 3]);
    assert_eq!(calls(&store), ["a", "b", "c"]);
}

#[test]
fn a_durable_batch_waits_for_a_provider_that_is_down() {
    let store = ModelStore::default();
    process(async {
        let is_up = Arc::new(AtomicBool::new(false));
        let state = Arc::clone(&is_up);
        let script: Script = Arc::new(move |_, _| {
            let refused = || {
                TransportError::Connect(std::io::Error::from(std::io::ErrorKind::ConnectionRefused).into())
            };
            let answer = if state.load(Ordering::SeqCst) { body("ok") } else { Err(refused()) };
            Box::pin(std::future::ready(answer))
        });
        let rig = rig(&store, script);
        let ids = ["a", "b", "c", "d", "e", "f", "g"];
        let running = start(&rig, &ids, RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_secs(300)).await);
        let tried = rig.sent().len();
        assert!(tried < 30, "{tried} tries of a dead provider");
        is_up.store(true, Ordering::SeqCst);
        assert!(running.finished(Duration::from_secs(400)).await);
        let counts = running.report().counts();
        // At most those whose tries were used up before the circuit opened.
        assert!(counts.accepted >= 5 && counts.unknown == 0, "{counts:?}");
    });
}

#[test]
fn nothing_is_called_while_the_store_is_away_and_what_is_out_is_written_when_it_is_back() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &["a", "b"], RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_millis(500)).await);
        store.shared.lock().unwrap().is_away = true;
        assert!(!running.finished(Duration::from_secs(60)).await);
        assert_eq!(calls(&store), ["a"]);
        store.shared.lock().unwrap().is_away = false;
        assert!(running.finished(Duration::from_secs(60)).await);
        assert_eq!(words(&running.report()), ["accepted:1"; 2]);
    });
}

#[test]
fn a_batch_that_cannot_be_written_is_not_sent() {
    let store = ModelStore::default();
    store.shared.lock().unwrap().is_away = true;
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let plan = rig.dispatcher.plan(rig.batch(&["a"])).ok().unwrap();
        let refused = rig.dispatcher.begin(plan, terms(None)).await;
        assert!(matches!(refused, Err(StartError::Store(StoreError::Away(_)))));
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!(rig.dispatcher.running_count(), 0);
    });
    assert_eq!(calls(&store), [""; 0]);
}

#[test]
fn a_key_names_one_batch() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let key = || IdempotencyKey { caller: "".into(), key: "k".into(), fingerprint: [7; 32] };
        let plan = || rig.dispatcher.plan(rig.batch(&["a"])).ok().unwrap();
        let Ok(Started::New(first)) = rig.dispatcher.begin(plan(), terms(Some(key()))).await else {
            panic!("not started");
        };
        let Ok(Started::Known(known)) = rig.dispatcher.begin(plan(), terms(Some(key()))).await else {
            panic!("started twice");
        };
        assert_eq!((known.batch, known.fingerprint), (first.id(), [7; 32]));
        assert!(first.finished(Duration::from_secs(10)).await);
        assert_eq!(store.find_key("".into(), "k".into()).await.unwrap(), Some(known));
    });
    assert_eq!(calls(&store), ["a"]);
}

#[test]
fn a_running_batch_becomes_durable_as_it_stands() {
    let store = ModelStore::default();
    let id = process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = rig.start(rig.batch(&["a", "b", "c"]));
        assert!(!running.finished(Duration::from_millis(1500)).await);
        assert_eq!(store.log(), ["call a", "call b"]);
        rig.dispatcher.make_durable(&running).await;
        assert_eq!(store.log(), ["call a", "call b", "accept"]);
        running.id()
    });
    assert_eq!(words(&go_on(&store, id, "ok")), ["accepted:1", "unknown:internal:1", "accepted:1"]);
    assert_eq!(calls(&store), ["a", "b", "c"]);
}

#[test]
fn a_process_that_lost_its_batches_sends_nothing_more() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &["a", "b"], RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_millis(500)).await);
        store.shared.lock().unwrap().is_taken = true;
        assert!(running.finished(Duration::from_secs(60)).await);
        assert_eq!(words(&running.report()), ["accepted:1", "pending"]);
    });
    assert_eq!(calls(&store), ["a"]);
}

#[test]
fn a_batch_that_was_taken_over_while_a_call_was_out_is_left_to_the_other() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let running = start(&rig, &["a"], RetryUnknown::Never).await;
        while calls(&store).is_empty() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        store.shared.lock().unwrap().is_taken = true;
        assert!(running.finished(Duration::from_secs(60)).await);
        assert!(!running.report().is_over(), "its end is the other's");
        assert_eq!(rig.dispatcher.running_count(), 0);
    });
    assert_eq!(calls(&store), ["a"]);
    assert!(!store.log().iter().any(|line| line.starts_with("finish")));
}

#[test]
fn a_batch_whose_channel_is_gone_waits_and_expires() {
    let store = ModelStore::default();
    let id = die_after(&store, 1.5, RetryUnknown::Never);
    let report = process(async {
        let elsewhere = Setup { name: "another", store: Arc::new(store.clone()), ..setup() };
        let rig = Rig::new(elsewhere, script(&store, "ok"));
        rig.dispatcher.recover();
        tokio::time::sleep(Duration::from_secs(3000)).await;
        assert!(!store.find(id).await.unwrap().unwrap().is_over());
        tokio::time::sleep(Duration::from_secs(700)).await;
        store.find(id).await.unwrap().unwrap()
    });
    assert_eq!(words(&report), ["accepted:1", "unknown:internal:1", "failed:expired:0"]);
    assert_eq!(calls(&store), ["a", "b"]);
}

#[test]
fn a_list_takes_one_page_from_the_store_however_much_runs() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "ok"));
        let mut ids = Vec::new();
        for _ in 0..4 {
            ids.push(start(&rig, &["a", "b"], RetryUnknown::Never).await.id());
            ids.push(rig.start(rig.batch(&["a", "b"])).id());
        }
        ids.reverse();
        let list = async |filter: Filter| {
            let lines = rig.dispatcher.list(filter).await.unwrap();
            lines.into_iter().map(|line| line.id).collect::<Vec<_>>()
        };
        let page = Filter { most: 3, ..Filter::default() };
        assert_eq!(list(page.clone()).await, ids[..3]);
        assert_eq!(list(Filter { before: Some(ids[2]), ..page.clone() }).await, ids[3..6]);
        let running = Filter { status: Some(Status::Processing), before: Some(ids[5]), ..page.clone() };
        assert_eq!(list(running).await, ids[6..]);
        assert_eq!(list(Filter { status: Some(Status::Completed), ..page }).await, []);
        let pages = store.log().into_iter().filter(|line| line.starts_with("list"));
        assert_eq!(pages.collect::<Vec<_>>(), ["list 3"; 4]);
    });
}

#[test]
fn a_batch_that_runs_elsewhere_has_a_forecast_by_the_channels_here() {
    let store = ModelStore::default();
    process(async {
        let slow =
            |name| Setup { name, calls_per_second: Some(1.0), store: Arc::new(store.clone()), ..setup() };
        let elsewhere = Rig::new(slow("fake"), script(&store, "ok"));
        let names: Vec<String> = (0..100).map(|number| number.to_string()).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let running = start(&elsewhere, &names, RetryUnknown::Never).await;
        let report = async |rig: &Rig| rig.dispatcher.report(running.id()).await.unwrap().unwrap();
        let here = report(&Rig::new(slow("fake"), script(&store, "ok"))).await;
        let eta = here.eta.as_ref().unwrap();
        assert!((90..120).contains(&eta.remaining.as_secs()), "{eta:?}");
        assert_eq!(eta.bound_by.as_ref().unwrap().1, BudgetKind::Calls);
        let unknown_channel = report(&Rig::new(slow("another"), script(&store, "ok"))).await;
        assert_eq!(unknown_channel.eta, None);
        assert!(running.finished(Duration::from_secs(300)).await);
        while elsewhere.dispatcher.running_count() > 0 {
            tokio::task::yield_now().await;
        }
        assert_eq!(report(&Rig::new(slow("fake"), script(&store, "ok"))).await.eta, None);
    });
}

/// A batch to everybody and to two, one call at a time; the first call is the one to everybody.
async fn to_all_and_two(rig: &Rig) -> Running {
    let mut batch = rig.batch(&[]);
    batch.routes.extend(rig.batch(&["a", "b"]).routes);
    let plan = rig.dispatcher.plan(batch).ok().unwrap();
    match rig.dispatcher.begin(plan, terms(None)).await {
        Ok(Started::New(running)) => running,
        Ok(Started::Known(_)) | Err(_) => panic!("not started"),
    }
}

/// Everybody is two, as the answer says.
fn naming(store: &ModelStore) -> Script {
    let [all, others] = ["listed", "ok"].map(|answer| script(store, answer));
    Arc::new(
        move |number, request| {
            if request.body.is_empty() { all(number, request) } else { others(number, request) }
        },
    )
}

#[test]
fn whom_a_send_to_all_reached_is_written_when_the_answer_comes() {
    let leave = async |rig: &Rig, running: &Running| {
        assert!(!running.finished(Duration::from_millis(1500)).await);
        assert!(rig.dispatcher.drain(Duration::from_secs(30)).await);
    };
    let die = async |_: &Rig, running: &Running| {
        assert!(!running.finished(Duration::from_millis(1500)).await);
    };
    let left = ["accepted:1", "accepted:1", "accepted:1", "accepted:1"];
    let died = ["accepted:1", "accepted:1", "unknown:internal:1", "accepted:1"];
    ends_as(&leave, left);
    ends_as(&die, died);

    fn ends_as(end: &impl AsyncFn(&Rig, &Running), expected: [&str; 4]) {
        let store = ModelStore::default();
        let id = process(async {
            let rig = rig(&store, naming(&store));
            let running = to_all_and_two(&rig).await;
            end(&rig, &running).await;
            assert!(!running.report().is_over());
            running.id()
        });
        let report = go_on(&store, id, "ok");
        assert_eq!(words(&report), expected);
        assert_eq!(report.routes[0].recipients.iter().collect::<Vec<_>>(), ["x", "y"]);
        assert_eq!(calls(&store), ["", "a", "b"]);
    }
}

#[test]
fn a_caller_hears_of_the_end_of_a_send_to_all_once_it_is_written() {
    let store = ModelStore::default();
    process(async {
        let rig = rig(&store, script(&store, "listed"));
        let running = start(&rig, &[], RetryUnknown::Never).await;
        assert!(!running.finished(Duration::from_millis(500)).await);
        store.set_away(true);
        assert!(!running.finished(Duration::from_secs(60)).await);
        store.set_away(false);
        assert!(running.finished(Duration::from_secs(5)).await);
    });
    assert_eq!(store.log(), ["accept", "begin 0", "call ", "settle 0,1", "name 2", "finish"]);
}
