//! Refusals for the rate: a call waits as long as the provider says, and is repeated, not lost and not doubled.

use std::sync::Arc;

use serde_json::Value;
use tokio::task::JoinSet;

use super::{Lane, gateway, statuses};
use crate::accounts::ACCOUNTS;
use crate::fault_proxy::faults;
use crate::ledger::{Carry, Conduct, Plan, always, first, judge};

/// One lane for each provider and conduct, all in one gateway: some providers ask for a second's wait.
async fn send_to_each(conducts: &[Conduct], plan: fn(Conduct) -> Plan) -> Vec<(Lane, Value)> {
    let mut lanes = Vec::new();
    for account in ACCOUNTS {
        for (index, conduct) in conducts.iter().enumerate() {
            let name = format!("{}-{index}", account.provider.replace('_', "-"));
            lanes.push(Lane::start(account, &name, plan(conduct.clone()), faults([])).await);
        }
    }
    let gateway = Arc::new(gateway(lanes.iter().map(|lane| lane.section("max_in_flight = 1"))).await);
    let mut sends = JoinSet::new();
    for lane in lanes {
        let gateway = Arc::clone(&gateway);
        sends.spawn(async move {
            let batch = lane.batch("marker", 2);
            let report = lane.send(&gateway, &batch).await;
            judge(&lane.what(), &report, &batch, &lane.ledger, 0);
            (lane, report)
        });
    }
    sends.join_all().await
}

#[tokio::test]
async fn a_throttled_call_is_sent_again_and_served_once() {
    let once = |conduct| first([(conduct, Carry::Whole)]);
    let conducts =
        [Conduct::Throttle { retry_after: None }, Conduct::Throttle { retry_after: Some(0) }, Conduct::Busy];
    for (lane, report) in send_to_each(&conducts, once).await {
        assert_eq!(statuses(&report), ["accepted"; 2], "{}: {report}", lane.what());
        assert_eq!(lane.ledger.entries().len(), 2, "{}", lane.what());
    }
}

#[tokio::test]
async fn a_provider_that_always_throttles_is_not_stormed() {
    let for_ever = |conduct| always(conduct, Carry::Whole);
    for (lane, report) in send_to_each(&[Conduct::Throttle { retry_after: Some(0) }], for_ever).await {
        assert_eq!(statuses(&report), ["failed"; 2], "{}: {report}", lane.what());
        assert_eq!(report["results"][0]["error"]["code"], "rate_limited", "{report}");
        assert!((2..=4).contains(&lane.ledger.entries().len()), "{}", lane.what());
    }
}

#[tokio::test]
async fn no_call_is_sent_again_before_the_provider_allows_it() {
    for account in ACCOUNTS {
        let throttle = Conduct::Throttle { retry_after: Some(3600) };
        let lane = Lane::start(account, "busy", always(throttle, Carry::Whole), faults([])).await;
        // The batch is over long before the hour is: what waits for the provider fails, and is not sent early.
        let seconds = if account.provider == "openim" { 20 } else { 600 };
        let limits = format!("[batches]\nmax_age_seconds = {seconds}\n{}", lane.section(""));
        let gateway = gateway([limits]).await;
        let batch = lane.batch("marker", 2);
        let report = lane.send(&gateway, &batch).await;
        assert_eq!(statuses(&report), ["failed"; 2], "{}: {report}", lane.what());
        assert_eq!(report["results"][0]["error"]["code"], "rate_limited", "{report}");
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        assert_eq!(lane.ledger.entries().len(), 1, "{}", lane.what());
    }
}
