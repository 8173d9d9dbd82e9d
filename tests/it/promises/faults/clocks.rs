//! A provider that calls our signature or token out of date: one class, a hint at the clock, no storm.

use super::{Lane, gateway, statuses};
use crate::accounts::{ACCOUNTS, Account};
use crate::fake_provider::Response;
use crate::fault_proxy::faults;
use crate::ledger::{Carry, Conduct, always, first, judge};

#[tokio::test]
async fn an_answer_that_time_is_over_is_authentication_with_a_hint_at_the_clock() {
    for account in ACCOUNTS {
        let lane = Lane::start(account, "late", always(Conduct::Stale, Carry::Whole), faults([])).await;
        let settings = account.settings;
        let gateway = gateway([lane.section_with(settings, "max_in_flight = 1")]).await;
        let batch = lane.batch("marker", 20);
        let report = lane.send(&gateway, &batch).await;
        let what = format!("{}: {report}", lane.what());
        assert_eq!(statuses(&report), ["failed"; 20], "{what}");
        judge(&what, &report, &batch, &lane.ledger, 0);
        for result in report["results"].as_array().unwrap() {
            assert_eq!(result["error"]["code"], "authentication", "{what}");
            assert_eq!(result["error"]["retryable"], false, "{what}");
        }
        // The relay's signature bears no time, and its refusals say nothing.
        if account.provider != "easemob_relay" {
            let hint = report["results"][0]["error"]["hint"].as_str().unwrap_or_default();
            assert!(hint.contains("clock"), "{what}");
        }
        // At most one repeat with a new credential for the first call; the others are never started.
        assert!(lane.ledger.entries().len() <= 2, "{what}");
        assert!(lane.ledger.token_requests() <= 2, "{what}");
        assert_eq!(report["results"][19]["attempts"], 0, "{what}");
    }
}

#[tokio::test]
async fn a_credential_that_ran_out_once_is_renewed_and_the_call_served_once() {
    for provider in ["easemob_chatroom", "openim", "tencent_tim"] {
        let account = Account::of(provider);
        let lane = Lane::start(account, "once", first([(Conduct::Stale, Carry::Whole)]), faults([])).await;
        let gateway = gateway([lane.section_with(account.settings, "")]).await;
        let batch = lane.batch("marker", 2);
        let report = lane.send(&gateway, &batch).await;
        assert_eq!(statuses(&report), ["accepted"; 2], "{provider}: {report}");
        judge(&lane.what(), &report, &batch, &lane.ledger, 0);
        assert_eq!(lane.ledger.entries().len(), 2, "{provider}");
    }
}

#[tokio::test]
async fn a_token_that_is_not_valid_yet_names_the_clock_as_well() {
    let account = Account::of("openim");
    let early = serde_json::json!({"errCode": 1504, "errMsg": "TokenNotValidYetError", "errDlt": ""});
    let early = Conduct::Say(Response::json(200, &early));
    let lane = Lane::start(account, "early", always(early, Carry::Whole), faults([])).await;
    let gateway = gateway([lane.section("")]).await;
    let report = lane.send(&gateway, &lane.batch("marker", 2)).await;
    let error = &report["results"][0]["error"];
    assert_eq!(error["code"], "authentication", "{report}");
    assert!(error["hint"].as_str().unwrap_or_default().contains("clock"), "{report}");
}
