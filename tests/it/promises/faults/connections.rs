//! Connections between gateway and provider that break in every place.

use tokio::task::JoinSet;

use super::{Lane, gateway, statuses};
use crate::accounts::{ACCOUNTS, Account};
use crate::fault_proxy::{Direction, End, Fault, Place, faults};
use crate::ledger::{judge, willing};

/// Longest wait of a call for its answer; the relay adds 200 ms for every recipient.
const SHORT: &str = "timeout_ms = 300";

/// Places from the first byte to the last one.
const PLACES: [Place; 10] = [
    Place::Bytes(0),
    Place::Bytes(1),
    Place::Bytes(17),
    Place::Head(0),
    Place::Head(1),
    Place::BeforeEnd(30),
    Place::BeforeEnd(8),
    Place::BeforeEnd(2),
    Place::BeforeEnd(1),
    Place::BeforeEnd(0),
];

const ENDS: [End; 4] = [End::Close, End::Reset, End::HalfClose, End::Stall];

/// A lane whose every connection is broken in this way.
async fn broken(account: &'static Account, name: String, fault: Fault) -> Lane {
    Lane::start(account, &name, willing(), Box::new(move |_| fault.clone())).await
}

/// Sends one call through a break at every place; all at once, because most of them wait for their timeout.
async fn break_everywhere(
    account: &'static Account,
    direction: Direction,
) -> Vec<(Place, End, Lane, serde_json::Value)> {
    let mut lanes = Vec::new();
    for (row, place) in PLACES.into_iter().enumerate() {
        for (column, end) in ENDS.into_iter().enumerate() {
            let fault = Fault::Break(direction, place, end);
            lanes.push((place, end, broken(account, format!("case-{row}-{column}"), fault).await));
        }
    }
    let gateway = std::sync::Arc::new(gateway(lanes.iter().map(|(.., lane)| lane.section(SHORT))).await);
    let mut sends = JoinSet::new();
    for (place, end, lane) in lanes {
        let gateway = std::sync::Arc::clone(&gateway);
        sends.spawn(async move {
            let report = lane.send(&gateway, &lane.batch("marker", 2)).await;
            (place, end, lane, report)
        });
    }
    let cases = sends.join_all().await;
    gateway.leave().await;
    for (.., lane, report) in &cases {
        lane.settle().await;
        judge(&lane.what(), report, &lane.batch("marker", 2), &lane.ledger, lane.proxy.broken());
    }
    cases
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_breaks_anywhere_is_unknown_and_never_sent_again() {
    for account in ACCOUNTS {
        for (place, end, lane, report) in break_everywhere(account, Direction::Request).await {
            let what = format!("{} {place:?} {end:?}: {:?} {report}", account.provider, lane.proxy.log());
            if matches!(place, Place::Bytes(0)) {
                assert_tries(&lane, &report);
                continue;
            }
            assert_eq!(lane.proxy.log().len(), 1, "one connection, one try: {what}");
            let is_whole = matches!(place, Place::BeforeEnd(0));
            match end {
                // The way back stays open, so that the answer to a whole request comes through.
                End::HalfClose if is_whole => assert_eq!(statuses(&report), ["accepted"; 2], "{what}"),
                End::Stall if is_whole => assert_eq!(statuses(&report), ["accepted"; 2], "{what}"),
                End::Close | End::Reset | End::HalfClose | End::Stall => {
                    assert_eq!(statuses(&report), ["unknown"; 2], "{what}");
                }
            }
            let taken = lane.ledger.entries().len();
            // A reset can overtake the last bytes of a request.
            assert!(taken == usize::from(is_whole) || is_whole && matches!(end, End::Reset), "{what}");
            let [carried] = lane.proxy.log()[..] else { panic!("{what}") };
            assert!(carried.passed <= carried.taken, "{what}");
            if !matches!(end, End::Reset) {
                let is_partial = taken == 0 && carried.passed > 0;
                assert_eq!(is_partial, !lane.ledger.fake.unfinished().is_empty(), "{what}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_breaks_anywhere_is_unknown_and_the_request_never_sent_again() {
    for account in ACCOUNTS {
        for (place, end, lane, report) in break_everywhere(account, Direction::Answer).await {
            let what = format!("{} {place:?} {end:?}: {report}", account.provider);
            assert_eq!(lane.ledger.entries().len(), 1, "{what}");
            assert_eq!(lane.proxy.log().len(), 1, "{what}");
            match (place, end) {
                // A reset can overtake the last bytes of an answer.
                (Place::BeforeEnd(0), End::Reset) => {}
                (Place::BeforeEnd(0), _) => assert_eq!(statuses(&report), ["accepted"; 2], "{what}"),
                _ => assert_eq!(statuses(&report), ["unknown"; 2], "{what}"),
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_taken_and_then_held_is_unknown() {
    for account in ACCOUNTS {
        let lane = broken(account, "held".into(), Fault::Hold).await;
        let gateway = gateway([lane.section(SHORT)]).await;
        let batch = lane.batch("marker", 2);
        let report = lane.send(&gateway, &batch).await;
        assert_eq!(statuses(&report), ["unknown"; 2], "{report}");
        assert_eq!(judge(&lane.what(), &report, &batch, &lane.ledger, lane.proxy.broken()), 1);
        let [carried] = lane.proxy.log()[..] else { panic!("{}: {:?}", lane.what(), lane.proxy.log()) };
        assert_ne!(carried.taken, 0, "the request was on the wire");
        assert!(lane.ledger.entries().is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_reset_as_soon_as_it_is_there_is_never_reported_otherwise_than_it_was() {
    for account in ACCOUNTS {
        let lane = broken(account, "reset".into(), Fault::ResetAtOnce).await;
        let gateway = gateway([lane.section(SHORT)]).await;
        let batch = lane.batch("marker", 2);
        let report = lane.send(&gateway, &batch).await;
        judge(&lane.what(), &report, &batch, &lane.ledger, lane.proxy.broken());
        assert!(lane.ledger.entries().is_empty());
        assert_tries(&lane, &report);
    }
}

/// Whether the reset came before the first byte of the request or behind it is up to the race: before it, the
/// request certainly was not sent, and is tried again; behind it, it is unknown, and is not.
fn assert_tries(lane: &Lane, report: &serde_json::Value) {
    let what = format!("{}: {report}", lane.what());
    let tries = lane.proxy.log().len();
    assert_eq!(report["results"][0]["attempts"], tries, "{what}");
    match statuses(report)[..] {
        ["unknown", "unknown"] => assert!((1..=3).contains(&tries), "{what}"),
        ["failed", "failed"] => {
            assert_eq!(report["results"][0]["error"]["cause"], "connect", "{what}");
            assert_eq!(tries, 3, "{what}");
        }
        _ => panic!("{what}"),
    }
}

#[tokio::test]
async fn a_slow_connection_loses_nothing() {
    for account in ACCOUNTS {
        let release = tokio_util::sync::CancellationToken::new();
        let lane = broken(account, "slow".into(), Fault::Delay(release.clone())).await;
        let gateway = gateway([lane.section("")]).await;
        let batch = lane.batch("marker", 2);
        let opened = async {
            lane.proxy.arrived(1).await;
            release.cancel();
        };
        let (report, ()) = tokio::join!(lane.send(&gateway, &batch), opened);
        assert_eq!(statuses(&report), ["accepted"; 2], "{report}");
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
    }
}

#[tokio::test]
async fn a_refused_connection_is_tried_again_and_then_failed_and_later_serves() {
    for account in ACCOUNTS {
        let lane = Lane::refusing(account, "refused", willing(), faults([])).await;
        let gateway = gateway([lane.section("")]).await;
        let batch = lane.batch("refused", 2);
        let report = lane.send(&gateway, &batch).await;
        assert_eq!(statuses(&report), ["failed"; 2], "{report}");
        assert_eq!(report["results"][0]["attempts"], 3, "{report}");
        assert_eq!(report["results"][0]["error"]["cause"], "connect", "{report}");
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        assert!(lane.ledger.entries().is_empty());
        lane.proxy.open();
        let batch = lane.batch("served", 2);
        let report = lane.send(&gateway, &batch).await;
        assert_eq!(statuses(&report), ["accepted"; 2], "{report}");
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
    }
}

#[tokio::test]
async fn a_connection_that_fails_before_the_request_is_made_again_as_often_as_configured() {
    for account in ACCOUNTS {
        // A handshake that breaks: the proxy can count the tries, and nothing of a request was written.
        let lane = broken(account, "handshake".into(), Fault::ResetAtOnce).await;
        let gateway = gateway([lane.section("").replace("http://", "https://")]).await;
        let batch = lane.batch("marker", 2);
        let report = lane.send(&gateway, &batch).await;
        assert_eq!(statuses(&report), ["failed"; 2], "{report}");
        assert_eq!(report["results"][0]["error"]["cause"], "connect", "{report}");
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        assert_eq!(lane.proxy.log().len(), 3, "{}", lane.what());
    }
}
