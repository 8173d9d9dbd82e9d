//! Who is chosen, from reports made by hand.

use std::sync::Arc;

use crate::dispatch::resend::Wanted;
use crate::dispatch::resend::select::select;
use crate::domain::batch::{Batch, Resend};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::outcome::{Acceptance, Evidence, Outcome, Outcomes};
use crate::domain::recipients::{Positions, RecipientList, narrow};
use crate::domain::report::{Report, RouteReport, Settled};
use crate::domain::route::Route;
use crate::domain::samples;

const ROOT: u64 = 1;

/// A route that sends to these ids, each with its outcome: `+` accepted, `-` failed, `?` unknown, `=` a repeat.
fn route(entries: &[&str]) -> RouteReport {
    let outcomes = entries.iter().map(|entry| match entry.as_bytes()[0] {
        b'+' => Outcome::Accepted(Acceptance {
            evidence: Evidence::Explicit,
            message_id: None,
            provider_fields: None,
        }),
        b'-' => Outcome::failed(Failure::provider(FailureKind::RateLimited)),
        b'?' => Outcome::unknown(Failure::provider(FailureKind::ProviderError)),
        _ => Outcome::failed(Failure::gateway(FailureKind::DuplicateRecipient)),
    });
    let settled = Settled {
        positions: Positions::Range(0..narrow(entries.len())),
        outcomes: Outcomes::from_each(outcomes.collect()),
        attempts: 1,
    };
    RouteReport {
        channel: ChannelName::parse("fake").unwrap(),
        provider: "fake",
        is_sandbox: false,
        recipients: Arc::new(entries.iter().map(|entry| &entry[1..]).collect()),
        chatroom_id: None,
        settled: vec![settled],
        unsent: None,
        calls: 1,
        retries: 0,
        throttled: std::time::Duration::ZERO,
        provider_request_ids: Vec::new(),
    }
}

fn request_of(report: &RouteReport) -> Arc<Route> {
    Arc::new(samples::route(report.channel.as_str(), Arc::clone(&report.recipients)))
}

/// The batch of this number; `resends` = the batch it resends and its routes' places in the root.
fn batch(number: u64, routes: &[&[&str]], resends: Option<(u64, &[usize])>) -> Arc<Report> {
    let routes: Vec<_> = routes.iter().map(|entries| route(entries)).collect();
    let resend = resends.map(|(of, root_routes)| Resend {
        of: BatchId::new(of, 0),
        root: BatchId::new(ROOT, 0),
        root_routes: root_routes.to_vec(),
    });
    let requests = routes.iter().map(request_of).collect();
    let batch = Batch { resend, ..samples::batch(BatchId::new(number, 0), requests) };
    Arc::new(samples::ended(batch, routes))
}

/// What is chosen of the member at `named`: `place in the root:ids`, and how many are in doubt.
fn chosen(family: &[Arc<Report>], named: usize, wanted: Wanted) -> (Vec<String>, usize) {
    let selection = select(&family[named], family, wanted);
    let parts = selection.parts.iter().map(|part| {
        let ids: Vec<_> = part.recipients.iter().collect();
        format!("{}:{}", part.root_route, ids.join(","))
    });
    (parts.collect(), selection.doubtful)
}

#[track_caller]
fn check(family: &[Arc<Report>], named: usize, wanted: Wanted, parts: &[&str], doubtful: usize) {
    let parts: Vec<_> = parts.iter().map(|part| (*part).to_owned()).collect();
    assert_eq!(chosen(family, named, wanted), (parts, doubtful), "{named} {wanted:?}");
}

#[test]
fn takes_what_is_asked_for_once_and_in_order() {
    let family = [batch(ROOT, &[&["+a", "-d", "?c", "-b", "=b", "=c"]], None)];
    check(&family, 0, Wanted::Failed, &["0:d,b"], 0);
    check(&family, 0, Wanted::Unknown, &["0:c"], 0);
    check(&family, 0, Wanted::FailedOrUnknown, &["0:d,c,b"], 0);
}

#[test]
fn what_was_accepted_anywhere_in_the_family_is_never_sent_again() {
    let family = [
        batch(ROOT, &[&["-a", "-b", "-c", "?d"]], None),
        batch(2, &[&["+a", "-b", "-c"]], Some((ROOT, &[0]))),
        batch(3, &[&["+b", "-c"]], Some((2, &[0]))),
        batch(4, &[&["+d"]], Some((ROOT, &[0]))),
    ];
    for named in 0..3 {
        check(&family, named, Wanted::FailedOrUnknown, &["0:c"], 0);
    }
    check(&family, 3, Wanted::FailedOrUnknown, &[], 0);
}

#[test]
fn a_later_failure_does_not_take_back_that_it_may_have_been_delivered() {
    let mut family = [
        batch(ROOT, &[&["?a", "-b"]], None),
        batch(2, &[&["-a"]], Some((ROOT, &[0]))),
        batch(3, &[&["?b"]], Some((ROOT, &[0]))),
    ];
    for _ in 0..2 {
        let place =
            |number| family.iter().position(|report| report.batch.id == BatchId::new(number, 0)).unwrap();
        check(&family, place(2), Wanted::Failed, &[], 1);
        check(&family, place(ROOT), Wanted::Failed, &[], 1);
        check(&family, place(ROOT), Wanted::Unknown, &["0:a,b"], 0);
        check(&family, place(2), Wanted::Unknown, &["0:a"], 0);
        // Nor does it matter in which order the family is read.
        family.reverse();
    }
}

#[test]
fn routes_of_one_channel_are_told_apart_by_their_place() {
    let family = [
        batch(ROOT, &[&["+a", "-b"], &["-a", "-b"], &["-a"]], None),
        batch(2, &[&["+a"], &["-a"]], Some((ROOT, &[1, 2]))),
    ];
    check(&family, 0, Wanted::Failed, &["0:b", "1:b", "2:a"], 0);
    check(&family, 1, Wanted::Failed, &["2:a"], 0);
}

#[test]
fn everybody_is_no_recipient_but_whom_an_answer_listed_is() {
    let to_everybody = |entries: &[&str]| {
        let mut report = Arc::unwrap_or_clone(batch(ROOT, &[entries], None));
        let mut batch = Arc::unwrap_or_clone(report.batch);
        let route = Arc::make_mut(&mut batch.routes[0]);
        route.to = Arc::new(RecipientList::default());
        report.batch = Arc::new(batch);
        Arc::new(report)
    };
    check(&[to_everybody(&["?*"])], 0, Wanted::FailedOrUnknown, &[], 0);
    check(&[to_everybody(&["-*"])], 0, Wanted::Failed, &[], 0);
    check(&[to_everybody(&["+a", "-b"])], 0, Wanted::Failed, &["0:b"], 0);
    // An ordinary id, however odd.
    check(&[batch(ROOT, &[&["-*"]], None)], 0, Wanted::Failed, &["0:*"], 0);
}

#[test]
fn what_an_ended_batch_left_undecided_counts_as_perhaps_delivered() {
    let mut report = Arc::unwrap_or_clone(batch(ROOT, &[&["-a"]], None));
    report.routes[0].settled.clear();
    let family = [Arc::new(report)];
    check(&family, 0, Wanted::Failed, &[], 0);
    check(&family, 0, Wanted::Unknown, &["0:a"], 0);
}

#[test]
fn references_and_rooms_are_kept() {
    let mut report = Arc::unwrap_or_clone(batch(ROOT, &[&["+a", "-b"]], None));
    let mut recipients = RecipientList::default();
    recipients.push("a");
    recipients.push_with_reference("b", "user-2".into());
    report.routes[0].recipients = Arc::new(recipients);
    report.routes[0].chatroom_id = Some("room".into());
    let report = Arc::new(report);
    let selection = select(&report, &[Arc::clone(&report)], Wanted::Failed);
    let part = &selection.parts[0];
    assert_eq!(part.recipients.reference(0).map(|reference| &**reference), Some("user-2"));
    assert!(part.is_directed);
}
