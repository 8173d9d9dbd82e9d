//! F8: PostgreSQL goes away under load, killed or stopped, and comes back.

use std::time::{Duration, Instant};

use crate::RigError;
use crate::database::Database;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::load::Load;
use crate::promises::Promises;
use crate::provider::{Kind, Mode, Provider};
use crate::ready::Watch;
use crate::rigs::{Bench, PATIENCE};
use crate::statistics::{Latencies, count_ends};

/// Batches per second, of two recipients each.
const RATE: f64 = 50.0;

/// What the provider takes for an answer: so long calls are out when the database goes.
const LATENCY: Duration = Duration::from_millis(200);

/// How long all is well before, and how long the load goes on after.
const BEFORE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_secs(10);

const CHANNEL: &str = "recipients_per_call = 1\ncalls_per_second = 100000\n";

/// How it goes away.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outage {
    Killed,
    Stopped,
}

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    for outage in [Outage::Killed, Outage::Stopped] {
        measure(bench, outage, sheet).await?;
    }
    sheet.note(format!("changed settings: store.url, {}", CHANNEL.trim().replace('\n', ", ")));
    Ok(())
}

async fn measure(bench: &Bench<'_>, outage: Outage, sheet: &mut Sheet) -> Result<(), RigError> {
    let name = match outage {
        Outage::Killed => "killed",
        Outage::Stopped => "stopped",
    };
    let mut database = Database::start().await?;
    let provider = Provider::start(Kind::Tim, Mode::Fine(LATENCY)).await?;
    provider.keep_book();
    let general = format!("[store]\nurl = '{}'\n", database.url());
    let changes = Changes { general: &general, channel: CHANNEL };
    let mut gateway = Gateway::start(bench.options, bench.cores, &[&provider], &changes).await?;
    let away = bench.options.seconds(30, 30);
    let duration = BEFORE + away + AFTER;
    let promises = Promises::new(provider.kind, (duration.as_secs_f64() * RATE) as u64);
    let requests = promises.requests.clone();
    let load =
        Load { target: gateway.address, requests, rate: RATE, duration, patience: PATIENCE }.start()?;
    let watch = Watch::start(gateway.address);
    tokio::time::sleep(BEFORE).await;
    let gone = Instant::now();
    match outage {
        Outage::Killed => database.kill().await?,
        Outage::Stopped => database.pause()?,
    }
    tokio::time::sleep(away).await;
    // Ready again is counted from when the database takes connections.
    match outage {
        Outage::Killed => database.up().await?,
        Outage::Stopped => database.resume()?,
    }
    let (back, back_at) = (Instant::now(), load.now());
    let samples = load.finish().await;
    gateway.check_alive()?;
    let (unready, ready) = (watch.seconds_until(false, gone), watch.seconds_until(true, back));
    sheet.add(("F8", &format!("{name}: /readyz 503 after")), (unready, "s"), Bound::AtMost(2.0));
    sheet.add(("F8", &format!("{name}: ready again after")), (ready, "s"), Bound::AtMost(5.0));
    let dead = (Some(watch.dead_count() as f64), "");
    sheet.add(("F8", &format!("{name}: /livez failed")), dead, Bound::AtMost(0.0));
    drop(watch);
    let audit = promises.audit(gateway.address, &samples, &provider).await?;
    audit.judge("F8", name, sheet);
    let unknown = (Some(audit.unknown as f64), "");
    sheet.add(("F8", &format!("{name}: recipients unknown")), unknown, Bound::AtMost(0.0));
    let later = Latencies::of(samples.iter().filter(|sample| sample.due >= back_at));
    sheet.note(format!("{name} for {away:?}: {}; from its return on {later}", count_ends(&samples)));
    Ok(())
}
