//! Channels are replaced while batches run on them, and their accounts do not notice.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::adapter::Auth;
use crate::dispatch::replace::Predecessor;
use crate::dispatch::running::Running;
use crate::dispatch::tests::rig::{Grant, Rig, Script, Setup, at_once, body};

const LIMIT: f64 = 10.0;

const IDS: [&str; 20] =
    ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p", "q", "r", "s", "t"];

fn paced() -> Setup {
    Setup { recipients_per_call: 1, calls_per_second: Some(LIMIT), ..Setup::default() }
}

/// Accepts everybody and notes when.
fn noting(starts: &Arc<Mutex<Vec<Instant>>>) -> Script {
    let starts = Arc::clone(starts);
    at_once(move |_, _| {
        starts.lock().unwrap().push(Instant::now());
        body("ok")
    })
}

async fn finish(batches: &[Running]) {
    for batch in batches {
        assert!(batch.finished(Duration::from_secs(600)).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_channel_and_its_successor_keep_the_limit_of_their_account_together() {
    let starts = Arc::default();
    let rig = Rig::new(paced(), noting(&starts));
    let mut batches = vec![rig.start(rig.batch(&IDS))];
    // Half a second in the batch has most of its calls before it, and goes on beside those of the next channel.
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        rig.replace(Setup { max_in_flight: 3, ..paced() }, noting(&starts), Predecessor::Account);
        batches.push(rig.start(rig.batch(&IDS)));
    }
    finish(&batches).await;
    let starts = starts.lock().unwrap();
    assert_eq!(starts.len(), 4 * IDS.len());
    let window = Duration::from_secs(1);
    let within =
        |first: Instant| starts.iter().filter(|start| (first..first + window).contains(*start)).count();
    let most = starts.iter().map(|first| within(*first)).max();
    assert!(most <= Some(10), "{most:?} calls in a second");
    let elapsed = (*starts.last().unwrap() - starts[0]).as_secs_f64();
    assert!(f64::from(u32::try_from(starts.len()).unwrap()) / elapsed >= 0.9 * LIMIT, "{elapsed} s");
}

#[tokio::test(start_paused = true)]
async fn a_successor_that_is_removed_is_found_while_batches_run_before_it() {
    let starts = Arc::default();
    let rig = Rig::new(paced(), noting(&starts));
    let batch = rig.start(rig.batch(&IDS));
    rig.replace(paced(), noting(&starts), Predecessor::Account);
    let successor = Arc::downgrade(&rig.dispatcher.channel("fake").unwrap());
    // The name goes to another account.
    rig.replace(paced(), noting(&starts), |_| Predecessor::Nobody);
    tokio::time::sleep(Duration::from_millis(500)).await;
    assert!(successor.strong_count() > 0);
    finish(&[batch]).await;
    tokio::task::yield_now().await;
    assert_eq!(successor.strong_count(), 0);
}

#[tokio::test(start_paused = true)]
async fn an_account_whose_channel_is_gone_begins_with_nothing_saved_up() {
    let starts = Arc::default();
    let rig = Rig::new(paced(), noting(&starts));
    rig.send(rig.batch(&["a"])).await;
    let begin = Instant::now();
    rig.replace(paced(), noting(&starts), |_| Predecessor::Gone);
    rig.send(rig.batch(&["a"])).await;
    assert!(begin.elapsed() >= Duration::from_millis(100), "{:?}", begin.elapsed());
}

#[tokio::test(start_paused = true)]
async fn fewer_turns_hold_for_all_calls_and_more_are_there_at_once() {
    let gate = Arc::new(Semaphore::new(0));
    let held = |gate: &Arc<Semaphore>| -> Script {
        let gate = Arc::clone(gate);
        Arc::new(move |_, _| {
            let gate = Arc::clone(&gate);
            Box::pin(async move {
                gate.acquire().await.unwrap().forget();
                body("ok")
            })
        })
    };
    let setup = |max_in_flight| Setup { recipients_per_call: 1, max_in_flight, ..Setup::default() };
    let rig = Rig::new(setup(4), held(&gate));
    let settle = || tokio::time::sleep(Duration::from_millis(1));
    let mut batches = vec![rig.start(rig.batch(&IDS))];
    settle().await;
    assert_eq!(rig.sent().len(), 4);

    rig.replace(setup(2), held(&gate), Predecessor::Login);
    batches.push(rig.start(rig.batch(&IDS)));
    // Of the first three that end only one makes room, for the call that waited before the change.
    for (released, sent) in [(2, 5), (1, 5), (1, 6)] {
        gate.add_permits(released);
        settle().await;
        assert_eq!(rig.sent().len(), sent, "after {released}");
    }
    rig.replace(setup(5), held(&gate), Predecessor::Login);
    batches.push(rig.start(rig.batch(&IDS)));
    settle().await;
    assert_eq!(rig.sent().len(), 6 + 3);
    gate.add_permits(1000);
    finish(&batches).await;
    let status = rig.dispatcher.status(&rig.dispatcher.channel("fake").unwrap());
    assert_eq!((status.in_flight, status.max_in_flight), (0, 5));
}

#[tokio::test(start_paused = true)]
async fn a_token_is_kept_by_whoever_logs_in_in_the_same_way() {
    let auth = || Auth::Token(Box::new(Grant::new(Duration::from_secs(3600))));
    let setup = || Setup { auth: auth(), ..Setup::default() };
    let script = || at_once(|_, sent| body(if sent == "grant" { "t" } else { "ok" }));
    let rig = Rig::new(setup(), script());
    rig.send(rig.batch(&["a"])).await;
    rig.replace(setup(), script(), Predecessor::Login);
    rig.send(rig.batch(&["b"])).await;
    assert_eq!(rig.sent(), ["grant", "t:a", "t:b"]);
    rig.replace(setup(), script(), Predecessor::Account);
    rig.send(rig.batch(&["c"])).await;
    assert_eq!(rig.sent(), ["grant", "t:a", "t:b", "grant", "t:c"]);
}
