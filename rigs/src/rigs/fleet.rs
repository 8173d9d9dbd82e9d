//! R1, R2 and R5: three replicas on one database share each account's budget and token, through kills of replicas.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use crate::RigError;
use crate::database::Database;
use crate::exchange;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::provider::{Book, Kind, Mode, Provider};
use crate::requests::{self, Headers};
use crate::rigs::Bench;

const REPLICAS: usize = 3;

/// What a provider takes for an answer.
const LATENCY: Duration = Duration::from_millis(20);

/// How long the beginning may take until the budgets are used.
const WARM_UP: Duration = Duration::from_secs(5);

/// Between two kills of a replica; the other two go on meanwhile. Longer than a lease.
const LIFE: Duration = Duration::from_secs(20);

/// What an account may be asked for.
struct Limit {
    kind: Kind,
    what: &'static str,
    /// The window in which the provider counts.
    window: Duration,
    /// Most calls, or messages, in any of them.
    most: usize,
    counts: fn(usize) -> usize,
}

const LIMITS: [Limit; 4] = [
    Limit { kind: Kind::Tim, what: "calls", window: SECOND, most: 100, counts: |_| 1 },
    Limit { kind: Kind::Chatroom, what: "calls", window: SECOND, most: 100, counts: |_| 1 },
    Limit { kind: Kind::Chatroom, what: "messages", window: SECOND, most: 100, counts: |messages| messages },
    Limit {
        kind: Kind::Volcengine,
        what: "messages",
        window: MINUTE,
        most: 12_000,
        counts: |messages| messages,
    },
];

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    budgets(bench, sheet).await?;
    stampede(bench, sheet).await
}

/// Three gateways on one database.
async fn fleet(
    bench: &Bench<'_>,
    database: &Database,
    providers: &[&Provider],
    channel: &str,
) -> Result<Vec<Gateway>, RigError> {
    let general = format!("[store]\nurl = '{}'\n", database.url());
    let mut gateways = Vec::new();
    for _ in 0..REPLICAS {
        let changes = Changes { general: &general, channel };
        gateways.push(Gateway::start(bench.options, bench.cores, providers, &changes).await?);
    }
    Ok(gateways)
}

/// R1, R2: an endless backlog on every replica, which die and come back one after the other.
async fn budgets(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    let database = Database::start().await?;
    let mut providers = Vec::new();
    for kind in [Kind::Tim, Kind::Chatroom, Kind::Volcengine] {
        let provider = Provider::start(kind, Mode::Fine(LATENCY)).await?;
        provider.keep_book();
        providers.push(provider);
    }
    let borrowed: Vec<&Provider> = providers.iter().collect();
    // One recipient a call, so that calls and messages bind alike; Volcengine counts messages only.
    let channel = "recipients_per_call = 1\n";
    let mut gateways = fleet(bench, &database, &borrowed, channel).await?;
    let time = bench.options.seconds(60, 600);
    let mut first = 1;
    for gateway in &gateways {
        for provider in &providers {
            // Each alone has enough for all of it.
            let recipients = 220 * (time + WARM_UP).as_secs();
            send_endless(gateway, provider.kind, first..first + recipients).await?;
            first += recipients;
        }
    }
    tokio::time::sleep(WARM_UP).await;
    let lag = Lag::watch();
    let begin = Instant::now();
    let mut kills = Vec::new();
    while begin.elapsed() < time {
        tokio::time::sleep(LIFE.min(time.saturating_sub(begin.elapsed()))).await;
        if begin.elapsed() < time
            && let Some(gateway) = gateways.get_mut(kills.len() % REPLICAS)
        {
            kills.push(begin.elapsed().as_secs());
            gateway.kill().await?;
            gateway.start_again().await?;
        }
    }
    let end = Instant::now();
    drop(gateways);
    for limit in &LIMITS {
        let provider = providers.iter().find(|provider| provider.kind == limit.kind);
        let book = provider.map(Provider::book).unwrap_or_default();
        judge(limit, &book, begin..end, sheet);
    }
    for provider in &providers {
        let twice = provider.book().taken.values().filter(|count| **count > 1).count();
        let what = format!("{}: recipients taken twice", provider.kind.name());
        sheet.add(("R1", &what), (Some(twice as f64), ""), Bound::AtMost(0.0));
    }
    sheet.note(format!(
        "{REPLICAS} replicas for {time:?}, killed after {kills:?} s; the rig's own lag at most {:.0} ms; changed \
         settings: store.url, {}",
        lag.most().as_secs_f64() * 1000.0,
        channel.trim()
    ));
    Ok(())
}

async fn send_endless(
    gateway: &Gateway,
    kind: Kind,
    recipients: std::ops::Range<u64>,
) -> Result<(), RigError> {
    let headers = Headers { prefer: Some("respond-async"), key: None };
    let request = requests::send_with(kind, recipients, headers);
    let (answer, _) = exchange::once(gateway.address, &request).await.map_err(RigError::system("a batch"))?;
    if answer.status == 202 { Ok(()) } else { Err(RigError::Answer("a batch is not taken with 202")) }
}

fn judge(limit: &Limit, book: &Book, time: std::ops::Range<Instant>, sheet: &mut Sheet) {
    let Limit { kind, what, window, most, counts } = limit;
    let (over, busiest) = windows(book, *window, *most, *counts);
    let mut moments: Vec<_> = over.iter().map(|at| at.duration_since(time.start).as_secs()).collect();
    moments.dedup();
    let name = format!("{}: {what} in {} s", kind.name(), window.as_secs());
    let over = (Some(over.len() as f64), "");
    sheet.add(("R1", &format!("{name}: windows over {most}")), over, Bound::AtMost(0.0));
    let inside = book.calls.iter().filter(|(at, _)| time.contains(at));
    let sum: usize = inside.map(|(_, messages)| counts(*messages)).sum();
    let seconds = (time.end - time.start).as_secs_f64();
    let used = sum as f64 / seconds / (*most as f64 / window.as_secs_f64());
    sheet.add(("R2", &format!("{name}: part used")), (Some(used), ""), Bound::AtLeast(0.90));
    sheet.note(format!("{name}: at most {busiest}; over the limit in the seconds {moments:?}"));
}

/// The ends of the windows that hold more than `most`, each with an arrival, and the most that any holds.
fn windows(book: &Book, window: Duration, most: usize, counts: fn(usize) -> usize) -> (Vec<Instant>, usize) {
    let (mut over, mut busiest, mut sum) = (Vec::new(), 0, 0);
    let mut oldest = book.calls.iter().peekable();
    for (at, messages) in &book.calls {
        sum += counts(*messages);
        while let Some((_, messages)) = oldest.next_if(|(first, _)| *at - *first >= window) {
            sum -= counts(*messages);
        }
        busiest = busiest.max(sum);
        over.extend((sum > most).then_some(*at));
    }
    (over, busiest)
}

/// How late the rig itself is: so much later than they came it may have written calls down.
struct Lag {
    most: Arc<Mutex<Duration>>,
    _watching: JoinSet<()>,
}

impl Lag {
    fn watch() -> Self {
        const EVERY: Duration = Duration::from_millis(5);
        let most = Arc::<Mutex<Duration>>::default();
        let (shared, mut watching) = (Arc::clone(&most), JoinSet::new());
        watching.spawn(async move {
            loop {
                let begin = Instant::now();
                tokio::time::sleep(EVERY).await;
                let late = begin.elapsed().saturating_sub(EVERY);
                let mut most = shared.lock().unwrap_or_else(PoisonError::into_inner);
                *most = late.max(*most);
            }
        });
        Self { most, _watching: watching }
    }

    fn most(&self) -> Duration {
        *self.most.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// R5: a thousand sends at once while the token that all know has just expired.
async fn stampede(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    const SENDS: u64 = 1000;
    const LIFE_SECONDS: u64 = 3;
    let database = Database::start().await?;
    let provider = Provider::start(Kind::OpenIm, Mode::Fine(LATENCY)).await?;
    provider.set_token_seconds(LIFE_SECONDS);
    let gateways = fleet(bench, &database, &[&provider], "max_in_flight = 64\n").await?;
    let mut first_sends = JoinSet::new();
    for (gateway, recipient) in gateways.iter().zip(1..) {
        let request = requests::send(provider.kind, recipient..recipient + 1, Some("wait=25"));
        let address = gateway.address;
        first_sends.spawn(async move { exchange::once(address, &request).await });
    }
    while first_sends.join_next().await.is_some() {}
    let before = provider.token_count();
    tokio::time::sleep(Duration::from_secs(LIFE_SECONDS + 1)).await;
    provider.set_token_seconds(3600);
    let mut sends = JoinSet::new();
    for (recipient, gateway) in (10..10 + SENDS).zip(gateways.iter().cycle()) {
        let request = requests::send(provider.kind, recipient..recipient + 1, Some("wait=25"));
        let address = gateway.address;
        sends.spawn(async move { exchange::once(address, &request).await });
    }
    let mut served = 0;
    while let Some(sent) = sends.join_next().await {
        served += usize::from(matches!(sent, Ok(Ok((answer, _))) if answer.status == 200));
    }
    let fetches = (Some(provider.token_count() as f64 - before as f64), "");
    sheet.add(("R5", "token fetches for 1000 sends at once"), fetches, Bound::AtMost(1.0));
    sheet.add(("R5", "sends served"), (Some(served as f64), ""), Bound::AtLeast(SENDS as f64));
    sheet.add(
        ("R5", "token fetches before, for all replicas"),
        (Some(before as f64), ""),
        Bound::AtMost(1.0),
    );
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_holds_what_came_within_its_length_and_no_more() {
        let start = Instant::now();
        let at = |milliseconds| start + Duration::from_millis(milliseconds);
        let calls = vec![(at(0), 3), (at(500), 1), (at(999), 1), (at(1000), 1), (at(2500), 9)];
        let book = Book { calls, ..Book::default() };
        assert_eq!(windows(&book, SECOND, 5, |messages| messages), (vec![at(2500)], 9));
        assert_eq!(windows(&book, SECOND, 2, |_| 1), (vec![at(999), at(1000)], 3));
    }
}
