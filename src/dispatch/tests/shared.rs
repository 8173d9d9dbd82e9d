//! Three dispatchers on one store: what they do to one account, as its provider sees it.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::adapter::Auth;
use crate::adapter::secret::Secret;
use crate::dispatch::running::Running;
use crate::dispatch::tests::rig::{Grant, Rig, Script, Setup, at_once, body, words};
use crate::dispatch::tests::shared_model::SharedStore;
use crate::transport::TransportError;

const LIMIT: f64 = 100.0;

/// When calls arrived at the provider.
type Arrivals = Arc<Mutex<Vec<Instant>>>;

fn paced(store: &SharedStore) -> Setup {
    Setup {
        recipients_per_call: 1,
        max_in_flight: 20,
        calls_per_second: Some(LIMIT),
        store: Arc::new(store.clone()),
        ..Setup::default()
    }
}

/// Accepts everybody and notes when.
fn noting(arrivals: &Arrivals) -> Script {
    answering(arrivals, |_| "ok")
}

/// Answers the `number`-th call of all to the provider, from 0, in this way.
fn answering(arrivals: &Arrivals, answer: impl Fn(usize) -> &'static str + Send + Sync + 'static) -> Script {
    let arrivals = Arc::clone(arrivals);
    at_once(move |_, _| {
        let mut arrivals = arrivals.lock().unwrap();
        arrivals.push(Instant::now());
        body(answer(arrivals.len() - 1))
    })
}

fn batch(rig: &Rig, recipients: usize) -> Running {
    let ids: Vec<_> = (0..recipients).map(|number| format!("r{number}")).collect();
    rig.start(rig.batch(&ids.iter().map(String::as_str).collect::<Vec<_>>()))
}

async fn finish(batches: &[Running]) {
    for batch in batches {
        assert!(batch.finished(Duration::from_secs(3600)).await);
        assert!(words(&batch.report()).iter().all(|word| word.starts_with("accepted")));
    }
}

/// Asserts that no window of a second saw more than the limit; the calls per second over all.
fn judge(arrivals: &Arrivals) -> f64 {
    let arrivals = arrivals.lock().unwrap();
    let second = Duration::from_secs(1);
    for (index, first) in arrivals.iter().enumerate() {
        let within = arrivals[index..].iter().take_while(|arrival| **arrival - *first < second).count();
        assert!(within <= 100, "{within} calls in the second from {:?}", *first - arrivals[0]);
    }
    let elapsed = *arrivals.last().unwrap() - arrivals[0];
    f64::from(u32::try_from(arrivals.len()).unwrap()) / elapsed.as_secs_f64()
}

#[tokio::test(start_paused = true)]
async fn three_replicas_keep_one_limit_and_use_nine_tenths_of_it() {
    let (store, arrivals) = (SharedStore::new(), Arrivals::default());
    let rigs = [(); 3].map(|()| Rig::new(paced(&store), noting(&arrivals)));
    let begin = Instant::now();
    // Several batches each, so that several calls wait at once.
    let batches: Vec<_> = rigs.iter().flat_map(|rig| [1000, 500, 500].map(|size| batch(rig, size))).collect();
    finish(&batches).await;
    let rate = judge(&arrivals);
    assert!(rate >= 0.9 * LIMIT, "{rate} calls a second");
    let asks = store.kept.lock().unwrap().portion_asks;
    let seconds = begin.elapsed().as_secs_f64();
    assert!(f64::from(u32::try_from(asks).unwrap()) <= 40.0 * seconds, "{asks} questions in {seconds} s");
}

#[tokio::test(start_paused = true)]
async fn calls_and_messages_are_both_kept_by_all_replicas() {
    let (store, arrivals) = (SharedStore::new(), Arrivals::default());
    let setup = || Setup { messages_per_second: Some(LIMIT), ..paced(&store) };
    let rigs = [(); 3].map(|()| Rig::new(setup(), noting(&arrivals)));
    let batches: Vec<_> = rigs.iter().flat_map(|rig| [500, 500].map(|size| batch(rig, size))).collect();
    finish(&batches).await;
    let rate = judge(&arrivals);
    assert!(rate >= 0.9 * LIMIT, "{rate} calls a second");
}

#[tokio::test(start_paused = true)]
async fn two_slow_budgets_of_a_slow_store_meet_in_every_call() {
    let (store, arrivals) = (SharedStore::new(), Arrivals::default());
    store.kept.lock().unwrap().delay = Duration::from_millis(30);
    let setup = || Setup { calls_per_second: Some(20.0), messages_per_second: Some(20.0), ..paced(&store) };
    let rigs = [(); 3].map(|()| Rig::new(setup(), noting(&arrivals)));
    let begin = Instant::now();
    let batches: Vec<_> = rigs.iter().map(|rig| batch(rig, 100)).collect();
    finish(&batches).await;
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_replica_that_is_gone_leaves_its_part_to_the_others() {
    let (store, arrivals) = (SharedStore::new(), Arrivals::default());
    let rigs = [(); 3].map(|()| Rig::new(paced(&store), noting(&arrivals)));
    let _lost = batch(&rigs[0], 3000);
    let batches: Vec<_> = rigs[1..].iter().flat_map(|rig| [900, 600].map(|size| batch(rig, size))).collect();
    sleep(Duration::from_millis(5_050)).await;
    rigs[0].dispatcher.drain(Duration::ZERO).await;
    finish(&batches).await;
    let rate = judge(&arrivals);
    assert!(rate >= 0.9 * LIMIT, "{rate} calls a second");
}

#[tokio::test(start_paused = true)]
async fn a_refusal_for_the_rate_holds_all_replicas() {
    let (store, arrivals) = (SharedStore::new(), Arrivals::default());
    let refusing = |number| if number == 150 { "throttled for 7 s" } else { "ok" };
    let rigs = [(); 3].map(|()| Rig::new(paced(&store), answering(&arrivals, refusing)));
    let batches: Vec<_> = rigs.iter().map(|rig| batch(rig, 300)).collect();
    finish(&batches).await;
    judge(&arrivals);
    let arrivals = arrivals.lock().unwrap();
    let refused_at = arrivals[150];
    // What the others had taken before is theirs.
    let quiet = refused_at + Duration::from_millis(300)..refused_at + Duration::from_secs(7);
    assert_eq!(arrivals.iter().filter(|arrival| quiet.contains(arrival)).count(), 0);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_while_the_store_is_away() {
    let (store, arrivals) = (SharedStore::new(), Arrivals::default());
    let rig = Rig::new(paced(&store), noting(&arrivals));
    let running = batch(&rig, 500);
    sleep(Duration::from_secs(2)).await;
    store.kept.lock().unwrap().is_away = true;
    sleep(Duration::from_millis(300)).await;
    let before = arrivals.lock().unwrap().len();
    sleep(Duration::from_secs(20)).await;
    assert_eq!(arrivals.lock().unwrap().len(), before);
    store.kept.lock().unwrap().is_away = false;
    finish(&[running]).await;
    judge(&arrivals);
}

#[tokio::test(start_paused = true)]
async fn a_slow_store_lets_calls_through() {
    let (store, arrivals) = (SharedStore::new(), Arrivals::default());
    store.kept.lock().unwrap().delay = Duration::from_millis(150);
    let setup = Setup { messages_per_second: Some(LIMIT), ..paced(&store) };
    let rig = Rig::new(setup, noting(&arrivals));
    let begin = Instant::now();
    for _ in 0..10 {
        finish(&[batch(&rig, 1)]).await;
    }
    assert!(begin.elapsed() < Duration::from_secs(20), "{:?}", begin.elapsed());
}

/// The token endpoint and the sends of one provider, which takes tokens from the `oldest` on.
#[derive(Default)]
struct Tokens {
    grants: usize,
    oldest: usize,
    is_denying: bool,
}

fn tokens(provider: &Arc<Mutex<Tokens>>) -> Script {
    let provider = Arc::clone(provider);
    Arc::new(move |_, request| {
        let provider = Arc::clone(&provider);
        Box::pin(async move {
            let token = request.headers.get("token").map(|value| value.to_str().unwrap().to_owned());
            let Some(token) = token else {
                let answer = {
                    let mut provider = provider.lock().unwrap();
                    provider.grants += 1;
                    if provider.is_denying { "denied".into() } else { format!("token-{}", provider.grants) }
                };
                sleep(Duration::from_millis(50)).await;
                return body(&answer);
            };
            let number: usize = token.trim_start_matches("token-").parse().unwrap();
            Ok::<_, TransportError>(
                body(if number < provider.lock().unwrap().oldest { "expired" } else { "ok" }).unwrap(),
            )
        })
    })
}

fn with_token(store: &SharedStore, provider: &Arc<Mutex<Tokens>>, secret: &str) -> Rig {
    living(store, provider, secret, Duration::from_secs(1000))
}

/// With tokens that live so long.
fn living(store: &SharedStore, provider: &Arc<Mutex<Tokens>>, secret: &str, lifetime: Duration) -> Rig {
    let grant = Grant { secret: Secret::new(secret), ..Grant::new(lifetime) };
    let auth = Auth::Token(Box::new(grant));
    let setup = Setup { max_in_flight: 200, auth, store: Arc::new(store.clone()), ..Setup::default() };
    Rig::new(setup, tokens(provider))
}

/// Sends a hundred times on each at once.
async fn send_all(rigs: &[Rig]) {
    let batches: Vec<_> = rigs.iter().flat_map(|rig| (0..100).map(|_| batch(rig, 1))).collect();
    finish(&batches).await;
}

#[tokio::test(start_paused = true)]
async fn one_request_for_a_token_serves_all_replicas() {
    let (store, provider) = (SharedStore::new(), Arc::new(Mutex::new(Tokens::default())));
    let rigs = [(); 3].map(|()| with_token(&store, &provider, "hunter2"));
    send_all(&rigs).await;
    assert_eq!(provider.lock().unwrap().grants, 1);
    {
        let kept = store.kept.lock().unwrap();
        let sealed = &kept.tokens["login"].sealed;
        assert!(!sealed.windows(5).any(|window| window == b"token"), "it can be read in the store");
    }
    // The provider takes it no more: one request again.
    provider.lock().unwrap().oldest = 2;
    send_all(&rigs).await;
    assert_eq!(provider.lock().unwrap().grants, 2);
    // Nine tenths of its life are over: one of them fetches ahead, and everybody uses that one.
    sleep(Duration::from_secs(950)).await;
    send_all(&rigs).await;
    sleep(Duration::from_secs(5)).await;
    assert_eq!(provider.lock().unwrap().grants, 3);
    provider.lock().unwrap().oldest = 3;
    sleep(Duration::from_secs(60)).await;
    send_all(&rigs).await;
    assert_eq!(provider.lock().unwrap().grants, 3);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_lives_beyond_all_time_is_shared() {
    let (store, provider) = (SharedStore::new(), Arc::new(Mutex::new(Tokens::default())));
    let rigs = [(); 2].map(|()| living(&store, &provider, "hunter2", Duration::from_secs(u64::MAX)));
    send_all(&rigs).await;
    assert_eq!(provider.lock().unwrap().grants, 1);
}

#[tokio::test(start_paused = true)]
async fn a_token_that_another_secret_sealed_counts_as_none() {
    let (store, provider) = (SharedStore::new(), Arc::new(Mutex::new(Tokens::default())));
    let [ours, theirs] = ["hunter2", "hunter3"].map(|secret| with_token(&store, &provider, secret));
    finish(&[batch(&theirs, 1)]).await;
    finish(&[batch(&ours, 1)]).await;
    assert_eq!(ours.sent(), ["grant", "token-2:r0"]);
}

#[tokio::test(start_paused = true)]
async fn replicas_do_not_storm_a_provider_that_gives_no_token() {
    let (store, provider) = (SharedStore::new(), Arc::new(Mutex::new(Tokens::default())));
    provider.lock().unwrap().is_denying = true;
    let rigs = [(); 3].map(|()| with_token(&store, &provider, "hunter2"));
    let batches: Vec<_> = rigs.iter().flat_map(|rig| (0..100).map(|_| batch(rig, 1))).collect();
    sleep(Duration::from_secs(9)).await;
    assert_eq!(provider.lock().unwrap().grants, 1);
    for batch in batches {
        assert!(batch.finished(Duration::from_secs(120)).await);
        assert!(words(&batch.report())[0].starts_with("failed"), "nobody waits for ever");
    }
}
