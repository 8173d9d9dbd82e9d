//! What is sent again, judged by what the made-up provider got.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::adapter::wire::WireResponse;
use crate::dispatch::resend::permission::{NotResent, Permission};
use crate::dispatch::resend::{Refusal, Request, Wanted};
use crate::dispatch::running::Running;
use crate::dispatch::start::{Started, Terms};
use crate::dispatch::tests::rig::{Rig, Script, Setup, at_once, body, memory, words};
use crate::dispatch::tests::unsteady_store::{Linking, Unsteady};
use crate::domain::batch::{Batch, RetryUnknown};
use crate::domain::id::BatchId;
use crate::domain::recipients::RecipientList;
use crate::domain::report::Report;
use crate::domain::route::Route;
use crate::store::model::ModelStore;
use crate::store::{Linked, StoreError};
use crate::transport::TransportError;

type Answer = Result<WireResponse, TransportError>;

fn terms() -> Terms {
    Terms { patience: Duration::MAX, is_durable: false, key: None }
}

const LONG: Duration = Duration::from_secs(7200);

/// One recipient a call; `answer` gets how often the recipient was sent to before.
fn rig(answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Rig {
    rig_with(Setup::default(), answer)
}

fn rig_with(setup: Setup, answer: impl Fn(usize, &str) -> Answer + Send + Sync + 'static) -> Rig {
    let seen = std::sync::Mutex::new(std::collections::HashMap::<String, usize>::new());
    let script = at_once(move |_, id| {
        let mut seen = seen.lock().unwrap();
        let times = seen.entry(id.to_owned()).or_default();
        *times += 1;
        answer(*times - 1, id)
    });
    Rig::new(Setup { recipients_per_call: 1, max_in_flight: 1, ..setup }, script)
}

/// Refuses everybody but these.
fn refusing_all_but(accepted: &'static [&'static str]) -> impl Fn(usize, &str) -> Answer + Send + Sync {
    move |_, id| body(if accepted.contains(&id) { "ok" } else { "refused" })
}

/// May do everything.
struct Anybody;

impl Permission for Anybody {
    type Denial = Infallible;

    fn allow(&self, _: &Batch) -> Result<(), Infallible> {
        Ok(())
    }

    fn take_recipients(&self, _: usize) -> Result<(), Infallible> {
        Ok(())
    }

    fn give_back_recipients(&self, _: usize) {}
}

impl Rig {
    pub(super) async fn try_resend(&self, of: BatchId, wanted: Wanted) -> Result<Running, Refusal> {
        let expires_at = self.dispatcher.now() + Duration::from_secs(600);
        let request = Request { of, wanted, expires_at, terms: terms(), trace_id: None };
        match self.dispatcher.resend(request, Anybody).await {
            Ok(Started::New(running)) => Ok(running),
            Ok(Started::Known(_)) => panic!("no key was given"),
            Err(NotResent::Refused(refusal)) => Err(refusal),
        }
    }

    async fn resend(&self, of: &Report, wanted: Wanted) -> Arc<Report> {
        let running = self.try_resend(of.batch.id, wanted).await.unwrap();
        assert!(running.finished(LONG).await);
        running.report()
    }

    async fn refusal(&self, of: &Report, wanted: Wanted) -> Refusal {
        let sent = self.sent();
        let refusal = self.try_resend(of.batch.id, wanted).await.err().unwrap();
        assert_eq!(self.sent(), sent);
        refusal
    }

    async fn assert_nothing_left(&self, of: &Report, wanted: Wanted, doubtful: usize) {
        let refusal = self.refusal(of, wanted).await;
        let Refusal::NothingLeft { doubtful: found } = refusal else { panic!("{refusal}") };
        assert_eq!(found, doubtful, "{wanted:?}");
    }

    async fn resends(&self, of: &Report) -> Vec<BatchId> {
        self.dispatcher.report(of.batch.id).await.unwrap().unwrap().resends.clone()
    }
}

#[tokio::test(start_paused = true)]
async fn only_what_failed_goes_again_and_only_once() {
    let rig = rig(|times, id| body(if times == 0 && id != "a" { "refused" } else { "ok" }));
    let mut batch = rig.batch(&["a", "b", "!x", "b", "c"]);
    batch.client_ref = Some("mine".into());
    batch.retry_unknown = RetryUnknown::Allowed;
    let parent = rig.send(batch).await;
    let child = rig.resend(&parent, Wanted::Failed).await;
    assert_eq!(rig.sent(), ["a", "b", "c", "b", "c"]);
    assert_eq!(words(&child), ["accepted:1", "failed:invalid_recipient:0", "accepted:1"]);
    assert_eq!(child.batch.client_ref.as_deref(), Some("mine"));
    assert_eq!(child.batch.retry_unknown, RetryUnknown::Allowed);
    assert_eq!(child.batch.expires_at, rig.dispatcher.now() + Duration::from_secs(600));
    let resend = child.batch.resend.as_ref().unwrap();
    assert_eq!((resend.of, resend.root), (parent.batch.id, parent.batch.id));
    assert_eq!(rig.resends(&parent).await, [child.batch.id]);
    // The id that no call can name is all that is left: whoever repeats this sends nothing.
    let again = rig.resend(&parent, Wanted::Failed).await;
    assert_eq!(words(&again), ["failed:invalid_recipient:0"]);
    assert_eq!(rig.sent().len(), 5);
    assert_eq!(rig.resends(&parent).await, [child.batch.id, again.batch.id]);
}

#[tokio::test(start_paused = true)]
async fn a_relative_that_was_served_meanwhile_is_not_sent_to_again() {
    let rig = rig(|times, id| body(if id == "a" && times < 2 { "refused" } else { "ok" }));
    let parent = rig.send(rig.batch(&["a", "b"])).await;
    let child = rig.resend(&parent, Wanted::Failed).await;
    assert_eq!(words(&child), ["failed:content_rejected:1"]);
    let grandchild = rig.resend(&child, Wanted::Failed).await;
    assert_eq!(words(&grandchild), ["accepted:1"]);
    assert_eq!(grandchild.batch.resend.as_ref().unwrap().root, parent.batch.id);
    for report in [&parent, &child, &grandchild] {
        rig.assert_nothing_left(report, Wanted::FailedOrUnknown, 0).await;
    }
    assert_eq!(rig.sent(), ["a", "b", "a", "a"]);
    assert_eq!(rig.resends(&child).await, [grandchild.batch.id]);
}

#[tokio::test(start_paused = true)]
async fn what_may_have_been_delivered_once_goes_again_only_as_unknown() {
    let rig = rig(|times, _| if times == 0 { Err(TransportError::Timeout) } else { body("refused") });
    let parent = rig.send(rig.batch(&["a"])).await;
    assert_eq!(words(&parent), ["unknown:provider_unavailable:1"]);
    rig.assert_nothing_left(&parent, Wanted::Failed, 0).await;
    let child = rig.resend(&parent, Wanted::Unknown).await;
    assert_eq!(words(&child), ["failed:content_rejected:1"]);
    rig.assert_nothing_left(&child, Wanted::Failed, 1).await;
    rig.assert_nothing_left(&parent, Wanted::Failed, 0).await;
    assert_eq!(rig.sent(), ["a"; 2]);
    rig.resend(&child, Wanted::FailedOrUnknown).await;
    assert_eq!(rig.sent(), ["a"; 3]);
}

#[tokio::test(start_paused = true)]
async fn routes_of_one_channel_with_the_same_ids_do_not_mix() {
    // The second of two routes fails with the id that the first one served.
    let rig = rig(|times, _| body(if times == 1 { "refused" } else { "ok" }));
    let mut batch = rig.batch(&["a"]);
    batch.routes.push(Arc::clone(&batch.routes[0]));
    let parent = rig.send(batch).await;
    assert_eq!(parent.counts().failed, 1);
    let failed = parent.routes.iter().position(|route| route.counts().failed == 1).unwrap();
    let child = rig.resend(&parent, Wanted::Failed).await;
    assert_eq!(words(&child), ["accepted:1"]);
    assert_eq!(child.batch.resend.as_ref().unwrap().root_routes, [failed]);
    rig.assert_nothing_left(&parent, Wanted::Failed, 0).await;
    assert_eq!(rig.sent().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_again_while_a_relative_runs() {
    let gate = CancellationToken::new();
    let released = gate.clone();
    let script: Script = Arc::new(move |number, _| {
        let gate = gate.clone();
        Box::pin(async move {
            if number > 0 {
                gate.cancelled().await;
            }
            body("refused")
        })
    });
    let store = Unsteady::new(|| None);
    store.recording.cancel();
    let rig = Rig::new(Setup { store, ..Setup::default() }, script);
    let parent = rig.send(rig.batch(&["a"])).await;
    let wanted = Wanted::Failed;
    let id = parent.batch.id;
    // Two at once: one of them sends.
    let (first, second) = tokio::join!(rig.try_resend(id, wanted), rig.try_resend(id, wanted));
    let (child, refusal) = match (first, second) {
        (Ok(child), Err(refusal)) | (Err(refusal), Ok(child)) => (child, refusal),
        (first, second) => panic!("{} {}", first.is_ok(), second.is_ok()),
    };
    assert!(matches!(refusal, Refusal::StillRunning(id) if id == child.id()), "{refusal}");
    assert_eq!(rig.resends(&parent).await, [child.id()]);
    for of in [&parent, &child.report()] {
        let refusal = rig.refusal(of, wanted).await;
        assert!(matches!(refusal, Refusal::StillRunning(id) if id == child.id()), "{refusal}");
    }
    released.cancel();
    assert!(child.finished(LONG).await);
    rig.resend(&parent, wanted).await;
    assert_eq!(rig.sent(), ["a"; 3]);
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_again_while_another_process_works_on_it() {
    let store = ModelStore::default();
    let setup = || Setup { store: Arc::new(store.clone()), ..Setup::default() };
    let elsewhere = Rig::new(setup(), Arc::new(|_, _| Box::pin(std::future::pending())));
    let plan = elsewhere.dispatcher.plan(elsewhere.batch(&["a"])).ok().unwrap();
    let durable = Terms { is_durable: true, ..terms() };
    let Ok(Started::New(running)) = elsewhere.dispatcher.begin(plan, durable).await else {
        panic!("not started")
    };
    let rig = rig_with(setup(), |_, _| body("ok"));
    for wanted in [Wanted::Failed, Wanted::Unknown, Wanted::FailedOrUnknown] {
        let refusal = rig.refusal(&running.report(), wanted).await;
        assert!(matches!(refusal, Refusal::StillRunning(id) if id == running.id()), "{refusal}");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_goes_again_once_a_relative_is_forgotten() {
    let rig = rig_with(Setup { store: Arc::new(memory(2)), ..Setup::default() }, refusing_all_but(&["z"]));
    let parent = rig.send(rig.batch(&["a"])).await;
    let child = rig.resend(&parent, Wanted::Failed).await;
    rig.send(rig.batch(&["z"])).await;
    assert!(matches!(rig.refusal(&parent, Wanted::Failed).await, Refusal::UnknownBatch));
    let refusal = rig.refusal(&child, Wanted::Failed).await;
    assert!(matches!(refusal, Refusal::NotKept(id) if id == parent.batch.id), "{refusal}");
}

#[tokio::test(start_paused = true)]
async fn everybody_is_never_sent_to_again() {
    let rig = rig(|_, _| Err(TransportError::Timeout));
    let parent = rig.send(rig.batch(&[])).await;
    assert_eq!(words(&parent), ["unknown:provider_unavailable:1"]);
    rig.assert_nothing_left(&parent, Wanted::FailedOrUnknown, 0).await;
    // Nor can an adapter turn the recipients of a resend into everybody.
    let mut batch = rig.batch(&[]);
    let only = Some(Arc::new(["a"].into_iter().collect::<RecipientList>()));
    batch.routes = vec![Arc::new(Route { only, ..Route::clone(&batch.routes[0]) })];
    assert!(rig.dispatcher.plan(batch).is_err());
}

#[tokio::test(start_paused = true)]
async fn a_resend_that_cannot_start_leaves_no_trace() {
    let rig = rig(refusing_all_but(&[]));
    let parent = rig.send(rig.batch(&["a"])).await;
    rig.dispatcher.refuse_new();
    assert!(matches!(rig.refusal(&parent, Wanted::Failed).await, Refusal::Draining));
    assert_eq!(rig.resends(&parent).await, []);
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_has_just_ended_is_waited_for_until_it_is_recorded() {
    let store = Unsteady::new(|| None);
    let recording = store.recording.clone();
    let setup = Setup { store, ..Setup::default() };
    let rig = rig_with(setup, |times, _| body(if times == 0 { "refused" } else { "ok" }));
    let parent = rig.send(rig.batch(&["a"])).await;
    let refusal = rig.refusal(&parent, Wanted::Failed).await;
    assert!(matches!(refusal, Refusal::StillRunning(id) if id == parent.batch.id), "{refusal}");
    let recorded = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        recording.cancel();
    };
    let (child, ()) = tokio::join!(rig.resend(&parent, Wanted::Failed), recorded);
    assert_eq!(words(&child), ["accepted:1"]);
    assert_eq!(rig.resends(&parent).await, [child.batch.id]);
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_linked_is_not_sent() {
    let answers: [Linking; 2] =
        [|| Some(Ok(Linked::ParentGone)), || Some(Err(StoreError::Away("planted".into())))];
    for (answer, is_away) in answers.into_iter().zip([false, true]) {
        let store = Unsteady::new(answer);
        store.recording.cancel();
        let rig = rig_with(Setup { store, ..Setup::default() }, refusing_all_but(&[]));
        let parent = rig.send(rig.batch(&["a"])).await;
        let refusal = rig.refusal(&parent, Wanted::Failed).await;
        assert_eq!(matches!(refusal, Refusal::Store(_)), is_away, "{refusal}");
        assert_eq!(matches!(refusal, Refusal::NotKept(_)), !is_away, "{refusal}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_hangs_up_loses_no_resend() {
    let rig = rig(|times, _| body(if times == 0 { "refused" } else { "ok" }));
    let parent = rig.send(rig.batch(&["a"])).await;
    let asked = rig.try_resend(parent.batch.id, Wanted::Failed);
    // Polled once, so that the work is handed over, then dropped.
    assert!(tokio::time::timeout(Duration::ZERO, asked).await.is_err());
    while rig.resends(&parent).await.is_empty() {
        tokio::task::yield_now().await;
    }
    let child = rig.resends(&parent).await[0];
    while rig.dispatcher.running(child).is_some() {
        tokio::task::yield_now().await;
    }
    assert_eq!(words(&rig.dispatcher.report(child).await.unwrap().unwrap()), ["accepted:1"]);
    assert_eq!(rig.sent(), ["a"; 2]);
}

#[tokio::test(start_paused = true)]
async fn a_large_family_is_looked_through_as_well() {
    let rig = Rig::new(
        Setup { recipients_per_call: 20_000, ..Setup::default() },
        at_once(|number, _| body(if number == 0 { "refused" } else { "ok" })),
    );
    let ids: Vec<String> = (0..20_000).map(|number| number.to_string()).collect();
    let parent = rig.send(rig.batch(&ids.iter().map(String::as_str).collect::<Vec<_>>())).await;
    let child = rig.resend(&parent, Wanted::Failed).await;
    assert_eq!(child.counts().accepted, 20_000);
    rig.assert_nothing_left(&parent, Wanted::Failed, 0).await;
}
