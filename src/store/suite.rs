//! What every durable store does, whatever its engine: each engine's tests run all of it.

use std::sync::Arc;

use crate::domain::batch::{Batch, Resend};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::recipients::{Positions, RecipientList, narrow};
use crate::domain::report::{Remarks, Report, RouteReport, Settled, Status, Warning, WarningCode};
use crate::domain::route::Route;
use crate::domain::samples::accepted;
use crate::store::durable::{
    Accepted, Chunk, DueCallback, Durable, IdempotencyKey, KnownKey, NewBatch, Unfinished,
};
use crate::store::stored::samples::{ended, numbered, same};
use crate::store::{Filter, Head, Link, Linked, Store, Summary};

/// One engine under test.
pub(super) trait Rig {
    /// The engine.
    type Engine: Store;

    /// A process that opens what the processes before left; after the one before has gone.
    fn open(&self) -> impl Future<Output = Self::Engine>;

    /// Ends a process in order.
    fn close(&self, engine: Self::Engine) -> impl Future<Output = ()>;
}

/// All of it, each on a store of its own.
pub(super) async fn run<R: Rig>(rig: impl Fn() -> R) {
    what_is_accepted_is_found_by_the_next_process(&rig()).await;
    calls_go_their_own_way(&rig()).await;
    every_change_can_be_made_twice(&rig()).await;
    what_was_out_comes_back_as_out(&rig()).await;
    claims_are_bounded_oldest_first_and_leave_out_what_is_known(&rig()).await;
    a_batch_that_ended_stays_as_it_ended(&rig()).await;
    an_end_tells_what_nobody_settled(&rig()).await;
    a_send_to_all_learns_its_recipients_at_its_end(&rig()).await;
    whom_a_send_to_all_reached_is_kept_before_its_end(&rig()).await;
    a_key_belongs_to_the_first_batch(&rig()).await;
    twins_at_once_become_one(&rig()).await;
    a_batch_that_runs_is_written_as_it_stands(&rig()).await;
    what_answers_said_survives_before_the_end_and_is_said_once_after_it(&rig()).await;
    nothing_begins_for_a_batch_that_is_over_or_unknown(&rig()).await;
    lists_are_newest_first_and_filtered(&rig()).await;
    pages_hold_all_that_a_filter_takes_and_nothing_twice(&rig()).await;
    a_thousand_calls_begin_at_once(&rig()).await;
    a_batch_that_nobody_waited_for_is_claimed(&rig()).await;
    a_cancel_is_told_to_who_goes_on(&rig()).await;
    a_resend_comes_back_as_one(&rig()).await;
    links_are_noted_once_and_only_in_the_family_that_was_read(&rig()).await;
    a_callback_is_due_with_the_end_until_it_is_delivered(&rig()).await;
    lists_are_of_one_caller(&rig()).await;
    a_head_says_whose_a_batch_is_and_whether_it_is_over(&rig()).await;
    a_large_batch_is_read_as_it_was_written(&rig()).await;
}

fn durable(store: &impl Store) -> &dyn Durable {
    store.durable().unwrap()
}

fn new(report: &Arc<Report>) -> NewBatch {
    NewBatch { report: Arc::clone(report), in_flight: Vec::new(), key: None }
}

fn with_key(report: &Arc<Report>, key: &str) -> NewBatch {
    let key = IdempotencyKey { caller: "caller".into(), key: key.into(), fingerprint: [7; 32] };
    NewBatch { key: Some(key), ..new(report) }
}

fn chunk(range: std::ops::Range<u32>) -> Chunk {
    Chunk { route_index: 0, positions: Positions::Range(range) }
}

async fn accept(store: &impl Store, report: &Arc<Report>) {
    assert_eq!(durable(store).accept(new(report)).await.unwrap(), Accepted::Written);
}

async fn begin(store: &impl Store, id: BatchId, range: std::ops::Range<u32>) -> bool {
    durable(store).begin(id, chunk(range)).await.unwrap()
}

async fn settle(store: &impl Store, id: BatchId, range: std::ops::Range<u32>) {
    durable(store).settle(id, 0, accepted(Positions::Range(range)), Remarks::default()).await.unwrap();
}

/// Records these before anybody else does anything, on one thread.
pub(super) async fn record_at_once(store: &impl Store, reports: impl IntoIterator<Item = Arc<Report>>) {
    for report in reports {
        let mut recording = store.record(report);
        std::future::poll_fn(|context| {
            assert!(recording.as_mut().poll(context).is_ready());
            std::task::Poll::Ready(())
        })
        .await;
    }
}

async fn found(store: &impl Store, id: BatchId) -> Arc<Report> {
    store.find(id).await.unwrap().unwrap()
}

async fn claimed(store: &impl Store) -> Vec<Unfinished> {
    durable(store).claim(100, Vec::new()).await.unwrap()
}

async fn reopened<R: Rig>(rig: &R, store: R::Engine) -> R::Engine {
    rig.close(store).await;
    rig.open().await
}

async fn what_is_accepted_is_found_by_the_next_process(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a", "b"]);
    let id = report.batch.id;
    assert!(store.find(id).await.unwrap().is_none());
    accept(&store, &report).await;
    assert_eq!(same(&*found(&store, id).await), same(&report));
    let store = reopened(rig, store).await;
    assert_eq!(same(&*found(&store, id).await), same(&report));
    durable(&store).check().await.unwrap();
    assert_eq!(claimed(&store).await.len(), 1);
    assert!(durable(&store).holds(id));
    rig.close(store).await;
}

async fn calls_go_their_own_way(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a", "b", "c"]);
    let id = report.batch.id;
    accept(&store, &report).await;
    for at in 0..3 {
        assert!(begin(&store, id, at..at + 1).await);
    }
    settle(&store, id, 1..2).await;
    durable(&store).release(id, chunk(2..3)).await.unwrap();
    let store = reopened(rig, store).await;
    let claimed = claimed(&store).await;
    assert_eq!(claimed[0].in_flight, [chunk(0..1)]);
    assert_eq!(claimed[0].report.routes[0].open_runs().len(), 2);
    let decided: Vec<_> =
        claimed[0].report.routes[0].lines().map(|line| line.decided.map(|line| line.attempts)).collect();
    assert_eq!(decided, [None, Some(1), None]);
    rig.close(store).await;
}

async fn every_change_can_be_made_twice(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a", "b"]);
    let id = report.batch.id;
    for _ in 0..2 {
        assert_eq!(durable(&store).accept(with_key(&report, "key")).await.unwrap(), Accepted::Written);
    }
    for _ in 0..2 {
        assert!(begin(&store, id, 0..1).await);
    }
    for _ in 0..2 {
        durable(&store).release(id, chunk(0..1)).await.unwrap();
    }
    for _ in 0..2 {
        settle(&store, id, 0..1).await;
    }
    let report = ended(&*found(&store, id).await);
    for _ in 0..2 {
        durable(&store).finish(Arc::clone(&report)).await.unwrap();
    }
    let store = reopened(rig, store).await;
    assert_eq!(same(&*found(&store, id).await), same(&report));
    rig.close(store).await;
}

async fn what_was_out_comes_back_as_out(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a", "b", "c", "d"]);
    accept(&store, &report).await;
    let picked = Chunk { route_index: 0, positions: Positions::Picked([0, 2, 3].into(), 0..3) };
    assert!(durable(&store).begin(report.batch.id, picked.clone()).await.unwrap());
    let store = reopened(rig, store).await;
    assert_eq!(claimed(&store).await[0].in_flight, [picked]);
    rig.close(store).await;
}

async fn claims_are_bounded_oldest_first_and_leave_out_what_is_known(rig: &impl Rig) {
    let store = rig.open().await;
    let reports = [3, 1, 2, 4].map(|number| numbered(number, &["a"]));
    for report in &reports {
        accept(&store, report).await;
    }
    durable(&store).finish(ended(&reports[3])).await.unwrap();
    assert!(claimed(&store).await.is_empty(), "this process works on them");
    let store = reopened(rig, store).await;
    let ids = |unfinished: Vec<Unfinished>| -> Vec<_> {
        unfinished.iter().map(|unfinished| unfinished.report.batch.id).collect()
    };
    let id = |number| BatchId::new(number, 7);
    assert_eq!(ids(durable(&store).claim(1, vec![id(1)]).await.unwrap()), [id(2)]);
    assert_eq!(ids(claimed(&store).await), [id(1), id(3)]);
    assert!(claimed(&store).await.is_empty());
    rig.close(store).await;
}

async fn a_batch_that_ended_stays_as_it_ended(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a", "b"]);
    let id = report.batch.id;
    accept(&store, &report).await;
    assert!(begin(&store, id, 0..2).await);
    settle(&store, id, 0..2).await;
    let mut report = (*found(&store, id).await).clone();
    report.completed_at = Some(report.batch.expires_at);
    report.canceled = true;
    report.routes[0].calls = 3;
    report.routes[0].provider_request_ids = vec!["request".into()];
    durable(&store).finish(Arc::new(report.clone())).await.unwrap();
    let store = reopened(rig, store).await;
    assert_eq!(same(&*found(&store, id).await), same(&report));
    assert!(claimed(&store).await.is_empty());
    rig.close(store).await;
}

async fn an_end_tells_what_nobody_settled(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a", "b", "c"]);
    let id = report.batch.id;
    accept(&store, &report).await;
    assert!(begin(&store, id, 0..2).await);
    let report = ended(&report);
    durable(&store).finish(Arc::clone(&report)).await.unwrap();
    let store = reopened(rig, store).await;
    assert_eq!(same(&*found(&store, id).await), same(&report));
    rig.close(store).await;
}

async fn a_send_to_all_learns_its_recipients_at_its_end(rig: &impl Rig) {
    let store = rig.open().await;
    let mut report = (*numbered(1, &["room"])).clone();
    let id = report.batch.id;
    report.routes[0].recipients = Arc::new(["*"].into_iter().collect());
    accept(&store, &Arc::new(report.clone())).await;
    assert!(begin(&store, id, 0..1).await);
    report.routes[0].recipients = Arc::new(["x", "y", "z"].into_iter().collect());
    let report = ended(&report);
    durable(&store).finish(Arc::clone(&report)).await.unwrap();
    let store = reopened(rig, store).await;
    assert_eq!(same(&*found(&store, id).await), same(&report));
    rig.close(store).await;
}

async fn whom_a_send_to_all_reached_is_kept_before_its_end(rig: &impl Rig) {
    for named in [&["x", "y", "z"][..], &[]] {
        let store = rig.open().await;
        let mut report = (*numbered(u64::try_from(named.len()).unwrap(), &["room"])).clone();
        let id = report.batch.id;
        report.routes[0].recipients = Arc::new(["*"].into_iter().collect());
        accept(&store, &Arc::new(report.clone())).await;
        assert!(begin(&store, id, 0..1).await);
        let recipients: Arc<RecipientList> = Arc::new(named.iter().copied().collect());
        let settled = accepted(Positions::Range(0..narrow(named.len())));
        for _ in 0..2 {
            let remarks = Remarks { recipients: Some(Arc::clone(&recipients)), ..Remarks::default() };
            durable(&store).settle(id, 0, settled.clone(), remarks).await.unwrap();
        }
        let store = reopened(rig, store).await;
        let claimed = claimed(&store).await;
        assert!(claimed[0].in_flight.is_empty(), "it is done");
        let route = &claimed[0].report.routes[0];
        assert_eq!(route.recipients, recipients);
        assert_eq!((route.counts().accepted, route.counts().pending), (named.len(), 0));
        let report = ended(&claimed[0].report);
        durable(&store).finish(Arc::clone(&report)).await.unwrap();
        assert_eq!(same(&*found(&store, id).await), same(&report));
        rig.close(store).await;
    }
}

async fn a_key_belongs_to_the_first_batch(rig: &impl Rig) {
    let store = rig.open().await;
    let (first, second) = (numbered(1, &["a"]), numbered(2, &["a"]));
    let known = KnownKey { batch: first.batch.id, fingerprint: [7; 32] };
    let find = |key: &str| durable(&store).find_key("caller".into(), key.into());
    assert_eq!(find("key").await.unwrap(), None);
    assert_eq!(durable(&store).accept(with_key(&first, "key")).await.unwrap(), Accepted::Written);
    let again = durable(&store).accept(with_key(&second, "key")).await.unwrap();
    assert_eq!(again, Accepted::KeyTaken(known));
    assert!(store.find(second.batch.id).await.unwrap().is_none(), "nothing was written");
    assert_eq!(find("key").await.unwrap(), Some(known));
    assert_eq!(find("Key").await.unwrap(), None);
    assert_eq!(durable(&store).find_key("another".into(), "key".into()).await.unwrap(), None);
    durable(&store).finish(ended(&first)).await.unwrap();
    let store = reopened(rig, store).await;
    let still = durable(&store).find_key("caller".into(), "key".into()).await.unwrap();
    assert_eq!(still, Some(known));
    rig.close(store).await;
}

async fn twins_at_once_become_one(rig: &impl Rig) {
    let store = rig.open().await;
    let (left, right) = (numbered(1, &["a"]), numbered(2, &["a"]));
    let accept = |report| durable(&store).accept(with_key(report, "key"));
    let (left, right) = tokio::join!(accept(&left), accept(&right));
    let written = [left.unwrap(), right.unwrap()];
    let taken = written.iter().filter(|accepted| matches!(accepted, Accepted::KeyTaken(_)));
    assert_eq!(taken.count(), 1, "{written:?}");
    rig.close(store).await;
}

async fn what_answers_said_survives_before_the_end_and_is_said_once_after_it(rig: &impl Rig) {
    let store = rig.open().await;
    let mut report = (*numbered(1, &["a", "b", "c"])).clone();
    let id = report.batch.id;
    // As it became durable: the first call was over.
    report.routes[0].settle(accepted(Positions::Range(0..1)));
    report.routes[0].calls = 1;
    report.routes[0].provider_request_ids = vec!["first".into()];
    accept(&store, &Arc::new(report.clone())).await;
    let warning = |detail: &str| Warning {
        code: WarningCode::UnexpectedRecipient,
        channel: Some(report.routes[0].channel.clone()),
        pointer: None,
        detail: detail.into(),
    };
    for (at, request_id) in [(1, "second\0"), (2, "third")] {
        assert!(begin(&store, id, at..at + 1).await);
        let warnings = vec![warning(request_id)];
        let remarks = Remarks { request_id: Some(request_id.into()), warnings, recipients: None };
        let settled = Settled { attempts: 2, ..accepted(Positions::Range(at..at + 1)) };
        for _ in 0..2 {
            durable(&store).settle(id, 0, settled.clone(), remarks.clone()).await.unwrap();
        }
    }
    let store = reopened(rig, store).await;
    let mut left = (*claimed(&store).await[0].report).clone();
    let route = &left.routes[0];
    assert_eq!(route.provider_request_ids, ["first", "second\0", "third"].map(Box::from));
    assert_eq!((route.calls, route.retries), (5, 2));
    assert_eq!(left.warnings, [warning("second\0")], "one for each cause");
    assert_eq!(same(&*found(&store, id).await), same(&left));
    left.completed_at = Some(left.batch.expires_at);
    durable(&store).finish(Arc::new(left.clone())).await.unwrap();
    let store = reopened(rig, store).await;
    assert_eq!(same(&*found(&store, id).await), same(&left));
    rig.close(store).await;
}

async fn a_batch_that_runs_is_written_as_it_stands(rig: &impl Rig) {
    let store = rig.open().await;
    let mut report = (*numbered(1, &["a", "b", "c"])).clone();
    report.routes[0].settle(accepted(Positions::Range(0..1)));
    report.routes[0].calls = 1;
    let batch = NewBatch { in_flight: vec![chunk(1..2)], ..new(&Arc::new(report.clone())) };
    assert_eq!(durable(&store).accept(batch).await.unwrap(), Accepted::Written);
    let store = reopened(rig, store).await;
    let claimed = claimed(&store).await;
    assert_eq!(same(&claimed[0].report), same(&report));
    assert_eq!(claimed[0].in_flight, [chunk(1..2)]);
    rig.close(store).await;
}

async fn nothing_begins_for_a_batch_that_is_over_or_unknown(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a"]);
    assert!(!begin(&store, report.batch.id, 0..1).await);
    accept(&store, &report).await;
    durable(&store).finish(ended(&report)).await.unwrap();
    assert!(!begin(&store, report.batch.id, 0..1).await);
    rig.close(store).await;
}

async fn lists_are_newest_first_and_filtered(rig: &impl Rig) {
    let store = rig.open().await;
    let reports = [1, 2, 3].map(|number| numbered(number, &["a", "b"]));
    for report in &reports {
        accept(&store, report).await;
    }
    settle(&store, reports[0].batch.id, 0..1).await;
    durable(&store).finish(ended(&reports[1])).await.unwrap();
    store.record(ended(&numbered(4, &["a", "b"]))).await;
    let lists = [
        (Filter { most: 9, ..Filter::default() }, &[4, 3, 2, 1][..]),
        (Filter { most: 2, ..Filter::default() }, &[4, 3]),
        (Filter { most: 9, status: Some(Status::Completed), ..Filter::default() }, &[4, 2]),
        (Filter { most: 9, status: Some(Status::Processing), ..Filter::default() }, &[3, 1]),
        (Filter { most: 9, before: Some(reports[2].batch.id), ..Filter::default() }, &[2, 1]),
        (
            Filter { most: 9, channel: reports[0].routes[0].channel.clone().into(), ..Filter::default() },
            &[4, 3, 2, 1],
        ),
        (Filter { most: 9, channel: ChannelName::parse("other"), ..Filter::default() }, &[]),
    ];
    let store = reopened(rig, store).await;
    for (filter, expected) in lists {
        let lines = store.list(filter.clone()).await.unwrap();
        let expected: Vec<_> = expected.iter().map(|number| BatchId::new(*number, 7)).collect();
        assert_eq!(lines.iter().map(|line| line.id).collect::<Vec<_>>(), expected, "{filter:?}");
        for line in lines {
            assert_eq!(line, Summary::of(&*found(&store, line.id).await));
        }
    }
    rig.close(store).await;
}

/// A batch of some caller, so far, and through some channels; no two neighbours are alike.
fn varied(number: u64) -> Arc<Report> {
    let mut report = (*numbered(number, &["a"])).clone();
    let caller = [Some("shop"), None, Some("office"), Some("shop")][usize::try_from(number % 4).unwrap()];
    let mut batch = Batch { caller: caller.map(Arc::from), ..(*report.batch).clone() };
    let channels: &[&str] = match number % 5 {
        0 => &["rare", "main"],
        1 => &["main", "other", "main"],
        _ => &["main"],
    };
    let route = (batch.routes[0].clone(), report.routes[0].clone());
    (batch.routes, report.routes) = channels
        .iter()
        .map(|channel| {
            let channel = ChannelName::parse(channel).unwrap();
            let kept = RouteReport { channel: channel.clone(), ..route.1.clone() };
            (Arc::new(Route { channel, ..(*route.0).clone() }), kept)
        })
        .unzip();
    report.batch = Arc::new(batch);
    report.canceled = number % 3 == 2;
    if number.is_multiple_of(3) { Arc::new(report) } else { ended(&report) }
}

/// Every filter that a list may have, for the first page.
pub(super) fn filters() -> Vec<Filter> {
    let mut filters = Vec::new();
    for caller in [None, Some("shop"), Some("nobody")] {
        for channel in [None, Some("main"), Some("rare")] {
            for status in [None].into_iter().chain(Status::ALL.map(Some)) {
                filters.push(Filter {
                    caller: caller.map(Arc::from),
                    status,
                    channel: channel.and_then(ChannelName::parse),
                    before: None,
                    most: 3,
                });
            }
        }
    }
    filters
}

async fn pages_hold_all_that_a_filter_takes_and_nothing_twice(rig: &impl Rig) {
    let store = rig.open().await;
    let reports: Vec<_> = (1..=60).rev().map(varied).collect();
    for report in &reports {
        accept(&store, &Arc::new(Report { completed_at: None, ..(**report).clone() })).await;
        if report.is_over() {
            durable(&store).finish(Arc::clone(report)).await.unwrap();
        }
    }
    for mut filter in filters() {
        let taken = reports.iter().filter(|report| filter.takes(report));
        let expected: Vec<_> = taken.map(|report| Summary::of(report)).collect();
        let mut lines = Vec::new();
        loop {
            let page = store.list(filter.clone()).await.unwrap();
            lines.extend_from_slice(&page);
            if page.len() < filter.most {
                break;
            }
            filter.before = page.last().map(|line| line.id);
        }
        assert_eq!(lines, expected, "{filter:?}");
    }
    rig.close(store).await;
}

async fn a_thousand_calls_begin_at_once(rig: &impl Rig) {
    let store = rig.open().await;
    let names: Vec<String> = (0..1_000).map(|number| format!("user-{number}")).collect();
    let report = numbered(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let id = report.batch.id;
    accept(&store, &report).await;
    let store = Arc::new(store);
    let mut begun = tokio::task::JoinSet::new();
    for at in 0..1_000 {
        let store = Arc::clone(&store);
        begun.spawn(async move { begin(&*store, id, at..at + 1).await });
    }
    assert!(begun.join_all().await.into_iter().all(|has_begun| has_begun));
    let store = reopened(rig, Arc::into_inner(store).unwrap()).await;
    assert_eq!(claimed(&store).await[0].in_flight.len(), 1_000);
    rig.close(store).await;
}

async fn a_batch_that_nobody_waited_for_is_claimed(rig: &impl Rig) {
    let store = rig.open().await;
    let report = numbered(1, &["a"]);
    {
        let mut accepting = std::pin::pin!(durable(&store).accept(new(&report)));
        // Handed over, and then nobody waits any more.
        std::future::poll_fn(|context| {
            assert!(accepting.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    }
    // Written after it, so that it is written as well before long.
    accept(&store, &numbered(2, &["a"])).await;
    let claimed = tokio::time::timeout(std::time::Duration::from_secs(60), async {
        loop {
            let claimed = claimed(&store).await;
            if !claimed.is_empty() {
                return claimed;
            }
        }
    });
    let claimed = claimed.await.unwrap();
    assert_eq!(claimed.len(), 1);
    assert_eq!(claimed[0].report.batch.id, report.batch.id);
    rig.close(store).await;
}

async fn a_cancel_is_told_to_who_goes_on(rig: &impl Rig) {
    let store = rig.open().await;
    let reports = [1, 2, 3].map(|number| numbered(number, &["a"]));
    for report in &reports {
        accept(&store, report).await;
    }
    durable(&store).finish(ended(&reports[2])).await.unwrap();
    for report in &reports[1..] {
        durable(&store).cancel(report.batch.id).await.unwrap();
    }
    let store = reopened(rig, store).await;
    let claimed = claimed(&store).await;
    assert_eq!(claimed.iter().map(|unfinished| unfinished.is_canceled).collect::<Vec<_>>(), [false, true]);
    assert!(!claimed[1].report.canceled, "nobody was stopped yet");
    rig.close(store).await;
}

async fn a_resend_comes_back_as_one(rig: &impl Rig) {
    let store = rig.open().await;
    let mut report = (*numbered(2, &["a", "b"])).clone();
    let mut batch = (*report.batch).clone();
    let root = BatchId::new(1, 7);
    batch.resend = Some(Resend { of: root, root, root_routes: vec![3] });
    let mut route = (*batch.routes[0]).clone();
    route.only = Some(Arc::clone(&report.routes[0].recipients));
    batch.routes[0] = Arc::new(route);
    report.batch = Arc::new(batch);
    accept(&store, &Arc::new(report.clone())).await;
    let store = reopened(rig, store).await;
    assert_eq!(same(&*found(&store, report.batch.id).await), same(&report));
    rig.close(store).await;
}

async fn links_are_noted_once_and_only_in_the_family_that_was_read(rig: &impl Rig) {
    let store = rig.open().await;
    let parent = numbered(1, &["a"]);
    let root = parent.batch.id;
    let link = |number, known_links| {
        let child = BatchId::new(number, 7);
        store.link(Link { root, parent: root, child, known_links })
    };
    assert_eq!(link(2, 0).await.unwrap(), Linked::ParentGone);
    accept(&store, &parent).await;
    durable(&store).finish(ended(&parent)).await.unwrap();
    assert_eq!(link(2, 0).await.unwrap(), Linked::Noted);
    assert_eq!(link(3, 0).await.unwrap(), Linked::FamilyChanged, "another one came first");
    assert_eq!(link(3, 1).await.unwrap(), Linked::Noted);
    assert_eq!(found(&store, root).await.resends, [2, 3].map(|number| BatchId::new(number, 7)));
    let first = Link { root, parent: root, child: BatchId::new(2, 7), known_links: 0 };
    store.unlink(first).await.unwrap();
    assert_eq!(found(&store, root).await.resends, [BatchId::new(3, 7)]);
    let store = reopened(rig, store).await;
    assert_eq!(found(&store, root).await.resends, [BatchId::new(3, 7)]);
    rig.close(store).await;
}

async fn a_callback_is_due_with_the_end_until_it_is_delivered(rig: &impl Rig) {
    let store = rig.open().await;
    let mut report = (*numbered(1, &["a"])).clone();
    let id = report.batch.id;
    let mut batch = (*report.batch).clone();
    batch.callback = Some("https://hooks.example/imcast".into());
    report.batch = Arc::new(batch);
    accept(&store, &Arc::new(report.clone())).await;
    accept(&store, &numbered(2, &["a"])).await;
    let due = async |store: &_| durable(store).due_callbacks(10).await.unwrap();
    assert!(due(&store).await.is_empty(), "it has not ended");
    let report = ended(&report);
    durable(&store).finish(Arc::clone(&report)).await.unwrap();
    durable(&store).finish(ended(&numbered(2, &["a"]))).await.unwrap();
    let store = reopened(rig, store).await;
    let expected = DueCallback {
        summary: Summary::of(&report),
        url: "https://hooks.example/imcast".into(),
        failed_tries: 0,
    };
    assert_eq!(due(&store).await, std::slice::from_ref(&expected));
    assert!(due(&store).await.is_empty(), "somebody has it");
    for _ in 0..2 {
        durable(&store).delay_callback(id, 1, std::time::Duration::ZERO).await.unwrap();
    }
    assert_eq!(due(&store).await, [DueCallback { failed_tries: 1, ..expected }]);
    durable(&store).delay_callback(id, 2, std::time::Duration::from_secs(3_600)).await.unwrap();
    assert!(due(&store).await.is_empty(), "its time has not come");
    durable(&store).delay_callback(id, 3, std::time::Duration::ZERO).await.unwrap();
    durable(&store).end_callback(id).await.unwrap();
    assert!(due(&store).await.is_empty(), "it was delivered");
    rig.close(store).await;
}

async fn lists_are_of_one_caller(rig: &impl Rig) {
    let store = rig.open().await;
    for (number, caller) in [(1, Some("shop")), (2, Some("office")), (3, None), (4, Some("shop"))] {
        let mut report = (*numbered(number, &["a"])).clone();
        let caller = caller.map(Arc::from);
        report.batch = Arc::new(Batch { caller, ..(*report.batch).clone() });
        accept(&store, &Arc::new(report.clone())).await;
        if number == 4 {
            report.canceled = true;
            durable(&store).finish(ended(&report)).await.unwrap();
        }
    }
    let list = async |caller: Option<&str>, status| {
        let filter = Filter { caller: caller.map(Arc::from), status, most: 9, ..Filter::default() };
        store.list(filter).await.unwrap().iter().map(|line| line.id).collect::<Vec<_>>()
    };
    let ids = |numbers: &[u64]| numbers.iter().map(|number| BatchId::new(*number, 7)).collect::<Vec<_>>();
    assert_eq!(list(Some("shop"), None).await, ids(&[4, 1]));
    assert_eq!(list(Some("nobody"), None).await, ids(&[]));
    assert_eq!(list(None, Some(Status::Canceled)).await, ids(&[4]));
    assert_eq!(list(None, Some(Status::Completed)).await, ids(&[]));
    assert_eq!(list(None, Some(Status::Processing)).await, ids(&[3, 2, 1]));
    rig.close(store).await;
}

async fn a_head_says_whose_a_batch_is_and_whether_it_is_over(rig: &impl Rig) {
    let store = rig.open().await;
    let mut report = (*numbered(1, &["a"])).clone();
    report.batch = Arc::new(Batch { caller: None, ..(*report.batch).clone() });
    let (nobodys, shops) = (Arc::new(report), numbered(2, &["a"]));
    let head = async |report: &Report| store.head(report.batch.id).await.unwrap();
    assert_eq!(head(&shops).await, None);
    accept(&store, &nobodys).await;
    accept(&store, &shops).await;
    assert_eq!(head(&nobodys).await, Some(Head { caller: None, is_over: false }));
    durable(&store).finish(ended(&shops)).await.unwrap();
    assert_eq!(head(&shops).await, Some(Head { caller: Some("shop".into()), is_over: true }));
    rig.close(store).await;
}

/// More than what is decoded on the spot.
async fn a_large_batch_is_read_as_it_was_written(rig: &impl Rig) {
    let store = rig.open().await;
    let names: Vec<String> = (0..40_000).map(|number| format!("recipient-{number}")).collect();
    let report = numbered(1, &names.iter().map(String::as_str).collect::<Vec<_>>());
    accept(&store, &report).await;
    assert_eq!(same(&*found(&store, report.batch.id).await), same(&report));
    rig.close(store).await;
}
