//! Credentials that callers give in a route's options: used by every process, and readable in no store.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::adapter::secret::Secret;
use crate::adapter::wire::WireRequest;
use crate::adapter::{Attempt, Auth, AuthError, GivenCredentials, Sign};
use crate::dispatch::plan::RouteFault;
use crate::dispatch::replace::Predecessor;
use crate::dispatch::resend::{Refusal, Wanted};
use crate::dispatch::start::{Started, Terms};
use crate::dispatch::tests::rig::{Rig, Script, Setup, at_once, body, words};
use crate::domain::batch::Batch;
use crate::domain::fault::FaultCode;
use crate::domain::json::JsonText;
use crate::domain::report::Report;
use crate::domain::route::Route;
use crate::store::Store;
use crate::store::durable::{Durable as _, NewBatch};
use crate::store::model::ModelStore;

/// What the caller proves himself with.
const GIVEN: &str = "given-by-the-caller";

/// Puts the proof of the options into each request, or else the configured one.
struct Keyed(Secret);

impl Sign for Keyed {
    fn sign(&self, attempt: &Attempt<'_>, request: &mut WireRequest) -> Result<(), AuthError> {
        let options = attempt.route.provider_options.as_ref();
        let options: Value = options.map_or(Value::Null, |text| serde_json::from_str(text.as_str()).unwrap());
        let proof = options["proof"].as_str().unwrap_or(self.0.expose());
        let is_set = request.set_secret_header("token".parse().unwrap(), proof);
        if is_set { Ok(()) } else { Err(AuthError::Unusable("proof")) }
    }

    fn given_credentials(&self) -> Option<GivenCredentials<'_>> {
        Some(GivenCredentials { field: "proof", secret: &self.0 })
    }
}

fn setup(secret: &str, store: Arc<dyn Store>) -> Setup {
    let auth = Auth::Sign(Box::new(Keyed(Secret::new(secret))));
    Setup { recipients_per_call: 1, max_in_flight: 1, auth, store, ..Setup::default() }
}

/// Answers after a second.
fn slowly() -> Script {
    Arc::new(|_, _| {
        Box::pin(async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            body("ok")
        })
    })
}

/// One process; what is left of its work when it returns is what a kill leaves.
fn process<T>(secret: &str, store: &ModelStore, life: impl AsyncFnOnce(Rig) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
    let setup = setup(secret, Arc::new(store.clone()));
    runtime.unwrap().block_on(async { life(Rig::new(setup, slowly())).await })
}

/// A batch with the options of one who proves himself.
fn batch(rig: &Rig, to: &[&str]) -> Batch {
    let mut batch = rig.batch(to);
    let options = format!(r#"{{"x":1,"proof":"{GIVEN}"}}"#);
    let options = Some(JsonText::parse(&options, 32).unwrap());
    batch.routes = vec![Arc::new(Route { provider_options: options, ..Route::clone(&batch.routes[0]) })];
    batch
}

/// Starts a durable batch of three and dies while the second is out.
fn die(store: &ModelStore, secret: &str) -> Arc<Report> {
    process(secret, store, async |rig| {
        let plan = rig.dispatcher.plan(batch(&rig, &["a", "b", "c"])).ok().unwrap();
        let terms = Terms { patience: Duration::MAX, is_durable: true, key: None };
        let Ok(Started::New(running)) = rig.dispatcher.begin(plan, terms).await else {
            panic!("not started")
        };
        assert!(!running.finished(Duration::from_millis(1500)).await);
        store.find(running.id()).await.unwrap().unwrap()
    })
}

/// Goes on until the batch is over: its report, and what was sent.
fn go_on(store: &ModelStore, secret: &str, of: &Report) -> (Arc<Report>, Vec<String>) {
    process(secret, store, async |rig| {
        rig.dispatcher.recover();
        loop {
            let report = store.find(of.batch.id).await.unwrap().unwrap();
            if report.is_over() {
                return (report, rig.sent());
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    })
}

fn is_readable(report: &Report) -> bool {
    format!("{report:?}").contains(GIVEN)
}

#[test]
fn the_next_process_sends_with_what_no_store_shows() {
    let store = ModelStore::default();
    let left = die(&store, "hunter2");
    assert!(!is_readable(&left) && left.batch.routes[0].sealed_options.is_some());
    let (report, sent) = go_on(&store, "hunter2", &left);
    assert_eq!(words(&report), ["accepted:1", "unknown:internal:1", "accepted:1"]);
    assert_eq!(sent, [format!("{GIVEN}:c")]);
    assert!(!is_readable(&report));
}

#[test]
fn nothing_more_is_sent_once_the_secret_has_changed() {
    let store = ModelStore::default();
    let left = die(&store, "hunter2");
    let (report, sent) = go_on(&store, "hunter3", &left);
    assert_eq!(words(&report), ["accepted:1", "unknown:internal:1", "failed:authentication:0"]);
    assert_eq!(sent, [""; 0]);
    assert!(report.completed_at < Some(left.batch.expires_at), "it does not wait for the end of its time");
    assert!(format!("{report:?}").contains("the channel's secret has changed"), "{report:?}");
}

#[test]
fn what_an_earlier_version_wrote_openly_is_sent_all_the_same() {
    let store = ModelStore::default();
    let left = die(&store, "hunter2");
    let open = Batch {
        routes: process("hunter2", &store, async |rig| batch(&rig, &["a", "b", "c"]).routes),
        ..Batch::clone(&left.batch)
    };
    let report = Arc::new(Report { batch: Arc::new(open), ..Report::clone(&left) });
    let store = ModelStore::default();
    let kept = NewBatch { report, in_flight: Vec::new(), key: None };
    process("hunter2", &store, async |_| store.accept(kept).await.unwrap());
    let (report, sent) = go_on(&store, "hunter2", &left);
    assert_eq!(words(&report), ["accepted:1"; 3]);
    assert_eq!(sent, ["b", "c"].map(|id| format!("{GIVEN}:{id}")));
}

#[tokio::test(start_paused = true)]
async fn a_resend_goes_with_the_same_credentials_as_long_as_they_can_be_read() {
    let refusing = at_once(|number, _| body(if number == 0 { "refused" } else { "ok" }));
    let rig = Rig::new(setup("hunter2", Setup::default().store), refusing);
    let parent = rig.send(batch(&rig, &["a"])).await;
    assert!(!is_readable(&parent));
    let failed = rig.send(rig.batch(&["b"])).await;
    assert_eq!(words(&failed), ["accepted:1"]);
    let child = rig.try_resend(parent.batch.id, Wanted::Failed).await.unwrap();
    assert!(child.finished(Duration::from_secs(60)).await && !is_readable(&child.report()));
    let open = format!("{GIVEN}:a");
    assert_eq!(rig.sent(), [open.as_str(), "hunter2:b", &open]);
}

#[tokio::test(start_paused = true)]
async fn a_resend_is_refused_once_the_secret_has_changed() {
    let store = Setup::default().store;
    let rig = Rig::new(setup("hunter2", Arc::clone(&store)), at_once(|_, _| body("refused")));
    let parent = rig.send(batch(&rig, &["a"])).await;
    rig.replace(setup("hunter3", store), at_once(|_, _| body("ok")), Predecessor::Account);
    let refused = rig.try_resend(parent.batch.id, Wanted::Failed).await.err().unwrap();
    let Refusal::Faults(faults) = refused else { panic!("{refused:?}") };
    let places = faults.iter().map(|RouteFault { fault, .. }| (fault.pointer.as_str(), fault.code));
    assert_eq!(places.collect::<Vec<_>>(), [("/provider_options", FaultCode::Conflict)]);
    assert_eq!(rig.sent().len(), 1);
}
