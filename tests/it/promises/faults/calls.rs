//! Runs without a fault, and connections that a provider closes while they rest.

use super::{Lane, gateway, statuses};
use crate::accounts::ACCOUNTS;
use crate::fault_proxy::faults;
use crate::ledger::{Carry, Conduct, always, judge, willing};

#[tokio::test(flavor = "multi_thread")]
async fn without_a_fault_nobody_is_unknown_and_everybody_is_sent_to_once() {
    for account in ACCOUNTS {
        let mut lane = Lane::start(account, "calm", willing(), faults([])).await;
        lane.per_call = 7;
        let gateway = gateway([lane.section("max_in_flight = 8")]).await;
        let batches = ["first", "second", "third"].map(|marker| lane.batch(marker, 300));
        let [first, second, third] = &batches;
        let reports =
            tokio::join!(lane.send(&gateway, first), lane.send(&gateway, second), lane.send(&gateway, third));
        for (batch, report) in batches.iter().zip([reports.0, reports.1, reports.2]) {
            assert_eq!(statuses(&report), ["accepted"; 300], "{}", lane.what());
            assert_eq!(judge(&lane.what(), &report, batch, &lane.ledger, 0), 0);
        }
        assert_eq!(lane.ledger.entries().len(), 3 * 300_usize.div_ceil(7), "{}", lane.what());
        // The proxy counted as many bytes as the ledger read.
        let read: usize = lane.ledger.entries().iter().map(|entry| entry.size).sum();
        let carried: usize = lane.proxy.log().iter().map(|carried| carried.passed).sum();
        assert_eq!(read, carried, "{}", lane.what());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_refused_among_hundreds_is_the_only_one() {
    for account in ACCOUNTS {
        let refused: Vec<_> = ["1003", "1004", "1100"].map(String::from).to_vec();
        let mut lane =
            Lane::start(account, "some", always(Conduct::Serve(refused.clone()), Carry::Drip), faults([]))
                .await;
        lane.per_call = 10;
        let gateway = gateway([lane.section("")]).await;
        let batch = lane.batch("marker", 200);
        let report = lane.send(&gateway, &batch).await;
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        let status = if lane.ledger.dialect().names_refused { "failed" } else { "unknown" };
        for (recipient, found) in batch.to.iter().zip(statuses(&report)) {
            assert_eq!(
                found,
                if refused.contains(recipient) { status } else { "accepted" },
                "{recipient}: {report}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resting_connection_that_the_provider_closed_costs_nobody_anything() {
    const ROUNDS: usize = 10;
    for account in ACCOUNTS {
        let serve = Conduct::Serve(Vec::new());
        let lane = Lane::start(account, "closing", always(serve, Carry::ThenClose), faults([])).await;
        let gateway = gateway([lane.section("")]).await;
        for round in 0..ROUNDS {
            let batch = lane.batch(&format!("round-{round}"), 2);
            let report = lane.send(&gateway, &batch).await;
            assert_eq!(statuses(&report), ["accepted"; 2], "{report}");
            assert_eq!(judge(&lane.what(), &report, &batch, &lane.ledger, 0), 0);
            // Over for the proxy means that the gateway has closed its side as well.
            lane.proxy.idle(round + 1).await;
        }
        assert_eq!(lane.ledger.entries().len(), ROUNDS);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_closed_at_the_moment_of_the_next_send_is_never_used_twice() {
    const ROUNDS: usize = 30;
    for account in ACCOUNTS {
        let serve = Conduct::Serve(Vec::new());
        let lane = Lane::start(account, "racing", always(serve, Carry::ThenClose), faults([])).await;
        let gateway = gateway([lane.section("")]).await;
        let mut open = 0;
        for round in 0..ROUNDS {
            let batch = lane.batch(&format!("round-{round}"), 2);
            let report = lane.send(&gateway, &batch).await;
            // Whether a request met the end of its connection is up to the race: then it is unknown, and alone.
            open += judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        }
        assert!(lane.ledger.entries().len() + open >= ROUNDS);
    }
}
