//! Trouble with tokens: nobody is sent to without one, and neither sends nor token requests become a storm.

use super::{Lane, gateway, statuses};
use crate::accounts::{ACCOUNTS, Account};
use crate::fake_provider::{Reply, Response};
use crate::fault_proxy::faults;
use crate::ledger::{Carry, Conduct, judge, willing};
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// After a token request that failed there is no other one for ten seconds, as in production.
const DELIVERY: &str = "[delivery]\ntoken_wait_ms = 10000\n";

fn with_tokens() -> impl Iterator<Item = &'static Account> {
    ACCOUNTS.iter().filter(|account| account.token.is_some())
}

/// Ways in which no token comes.
fn without_token() -> Vec<Reply> {
    vec![
        Reply::Respond(Response::json(500, &json!({"error": "web_application"}))),
        Reply::Respond(Response::json(200, &json!({}))),
        Reply::Respond(Response { status: 502, headers: Vec::new(), body: b"<html>".to_vec() }),
        Reply::Reset,
        Reply::Hang,
        Reply::Cut(Response::json(200, &json!({"access_token": "t", "data": {"token": "t"}})), 60),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_nothing_is_sent_and_one_request_for_one_is_made() {
    for account in with_tokens() {
        for reply in without_token() {
            let lane = Lane::start(account, "down", willing(), faults([])).await;
            lane.ledger.set_token_answer(Some(reply.clone()));
            let section = lane.section_with(account.settings, "timeout_ms = 200");
            let gateway = gateway([DELIVERY.to_owned(), section]).await;
            let batch = lane.batch("marker", 20);
            let report = lane.send(&gateway, &batch).await;
            assert_eq!(statuses(&report), ["failed"; 20], "{} {reply:?}: {report}", lane.what());
            judge(&lane.what(), &report, &batch, &lane.ledger, 0);
            assert!(lane.ledger.entries().is_empty(), "{} {reply:?}", lane.what());
            assert_eq!(lane.ledger.token_requests(), 1, "{} {reply:?}", lane.what());
        }
    }
}

#[tokio::test]
async fn a_token_that_is_revoked_in_mid_flight_is_replaced_once_and_nobody_is_sent_to_twice() {
    for account in with_tokens() {
        let release = CancellationToken::new();
        let gate = release.clone();
        // Four calls are out when the token goes; the others follow with the next one.
        let plan = Box::new(move |_: &_| (Conduct::Serve(Vec::new()), Carry::After(gate.clone())));
        let lane = Lane::start(account, "revoked", plan, faults([])).await;
        let gateway =
            gateway([DELIVERY.to_owned(), lane.section_with(account.settings, "max_in_flight = 4")]).await;
        let batch = lane.batch("marker", 40);
        let revoked = async {
            lane.ledger.fake.arrived(5).await;
            lane.ledger.revoke();
            release.cancel();
        };
        let (report, ()) = tokio::join!(lane.send(&gateway, &batch), revoked);
        assert_eq!(statuses(&report), ["accepted"; 40], "{}: {report}", lane.what());
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        assert_eq!(lane.ledger.token_requests(), 2, "{}", lane.what());
        let refused = lane.ledger.entries().len() - 20;
        assert!((1..=4).contains(&refused), "{}: {refused}", lane.what());
    }
}

#[tokio::test]
async fn a_call_is_sent_again_at_most_once_after_a_new_token() {
    for account in with_tokens() {
        let stale = Box::new(|_: &_| (Conduct::Stale, Carry::Whole));
        let lane = Lane::start(account, "denied", stale, faults([])).await;
        let gateway =
            gateway([DELIVERY.to_owned(), lane.section_with(account.settings, "max_in_flight = 4")]).await;
        let batch = lane.batch("marker", 40);
        let report = lane.send(&gateway, &batch).await;
        assert_eq!(statuses(&report), ["failed"; 40], "{}: {report}", lane.what());
        assert_eq!(report["results"][0]["error"]["code"], "authentication", "{report}");
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        for call in batch.to.chunks(2) {
            let entries = lane.ledger.entries();
            let times = entries.iter().filter(|entry| entry.recipients == call).count();
            assert!(times <= 2, "{} {call:?}: {times}", lane.what());
        }
        assert!(lane.ledger.token_requests() <= 2, "{}", lane.what());
    }
}

#[tokio::test]
async fn a_revoked_token_without_another_one_fails_what_was_not_sent() {
    for account in with_tokens() {
        let lane = Lane::start(account, "revoked", willing(), faults([])).await;
        let section = lane.section_with(account.settings, "max_in_flight = 1");
        let gateway = gateway([DELIVERY.to_owned(), section]).await;
        let served = lane.batch("served", 2);
        let report = lane.send(&gateway, &served).await;
        assert_eq!(statuses(&report), ["accepted"; 2], "{report}");
        lane.ledger.revoke();
        lane.ledger.set_token_answer(Some(Reply::Reset));
        let lost = lane.batch("lost", 6);
        let report = lane.send(&gateway, &lost).await;
        assert_eq!(statuses(&report), ["failed"; 6], "{}: {report}", lane.what());
        judge(&lane.what(), &report, &lost, &lane.ledger, 0);
        assert_eq!(lane.ledger.token_requests(), 2, "{}", lane.what());
        assert_eq!(lane.ledger.entries().len(), 2, "{}", lane.what());
    }
}
