//! What a provider answers does not decide how much memory we take: measured at a process of its own.

use serde_json::Value;

use super::Lane;
use super::answers::gzip_bomb;
use crate::accounts::ACCOUNTS;
use crate::fake_provider::Response;
use crate::fault_proxy::faults;
use crate::ledger::{Carry, Conduct, Dialect, Named};
use crate::process::Process;
use crate::raw::post;

/// Bytes that each hostile answer wants to fill.
const WANTED: u64 = 100 << 20;

/// Most kilobytes that the process may grow by over all hostile answers, which come one by one.
const MOST_GROWTH: u64 = 16 << 10;

/// Sends a batch over a connection of its own and brings status and body of the answer.
async fn send(process: &Process, lane: &Lane, marker: &str) -> (u16, Value) {
    let body = lane.request(&lane.batch(marker, 2)).to_string();
    let mut caller = process.connect().await.unwrap();
    caller.write(&post("prefer: wait=25\r\n", body.as_bytes())).await;
    let answer = caller.answer().await.unwrap();
    (answer.status, serde_json::from_str(&answer.body).unwrap())
}

/// Answers that want memory, one after the other and again from the start.
fn hostile(dialect: &Dialect) -> Vec<(Conduct, Carry)> {
    let named = Named { recipients: vec!["1000".into(), "1001".into()], ..Named::default() };
    let json = |body: Vec<u8>| Response {
        status: 200,
        headers: vec![("content-type".into(), "application/json".into())],
        body,
    };
    let say = |response| (Conduct::TakeAndSay(response), Carry::Whole);
    let million = 1 << 20;
    vec![
        (Conduct::TakeAndSay(json(Vec::new())), Carry::Flood(WANTED)),
        say(gzip_bomb(&(dialect.served)(&named, &[]), 500)),
        say(json(vec![b'['; million])),
        say(json([b"{\"data\":[", &*b"1,".repeat(million / 2 - 10), b"1]}"].concat())),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_answers_do_not_fill_the_memory() {
    let mut lanes = Vec::new();
    for account in ACCOUNTS {
        let mut answers = hostile(Dialect::of(account.provider)).into_iter().cycle();
        let plan = Box::new(move |named: &Named| match named.marker.as_str() {
            "hostile" => answers.next().unwrap(),
            _ => (Conduct::Serve(Vec::new()), Carry::Whole),
        });
        lanes.push(Lane::start(account, &account.provider.replace('_', "-"), plan, faults([])).await);
    }
    // The circuits stay closed: every hostile answer is to be read.
    let delivery = "[delivery]\ncircuit_failures = 1000\n".to_owned();
    let sections = lanes.iter().map(|lane| lane.section(""));
    let process = Process::start(&std::iter::once(delivery).chain(sections).collect::<String>()).await;
    for lane in &lanes {
        for _ in 0..3 {
            let (status, report) = send(&process, lane, "friendly").await;
            assert_eq!(status, 200, "{report}");
        }
    }
    let before = process.peak_memory();
    for _ in 0..8 {
        for lane in &lanes {
            let (status, report) = send(&process, lane, "hostile").await;
            assert_eq!((status, &report["counts"]["unknown"]), (207, &Value::from(2)), "{report}");
        }
    }
    let growth = process.peak_memory() - before;
    assert!(growth < MOST_GROWTH, "grew by {growth} kB from {before} kB");
}
