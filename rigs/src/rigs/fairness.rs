//! F9: a hundred single sends come through while a bulk batch of ten thousand recipients is on its way.

use std::time::Duration;

use crate::RigError;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::load::Load;
use crate::provider::{Kind, Mode, Provider};
use crate::rigs::{Bench, PATIENCE};
use crate::statistics::{Latencies, count_ends};
use crate::{exchange, requests};

const BULK_RECIPIENTS: u64 = 10_000;

/// What the provider takes for an answer.
const LATENCY: Duration = Duration::from_millis(50);

/// A hundred single sends, at a rate that every budget has room for.
const RATE: f64 = 20.0;
const DURATION: Duration = Duration::from_secs(5);

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    // A call to 500 recipients takes 2.5 s of Volcengine's budget, and one of them may stand in the way.
    for (kind, most_seconds) in [(Kind::Tim, 2.0), (Kind::Volcengine, 4.5)] {
        measure(bench, kind, most_seconds, sheet).await?;
    }
    Ok(())
}

async fn measure(
    bench: &Bench<'_>,
    kind: Kind,
    most_seconds: f64,
    sheet: &mut Sheet,
) -> Result<(), RigError> {
    let provider = Provider::start(kind, Mode::Fine(LATENCY)).await?;
    let changes = Changes { general: "", channel: "" };
    let mut gateway = Gateway::start(bench.options, bench.cores, &[&provider], &changes).await?;
    // A token, a connection: what only the first send needs is no part of the figure.
    let warm_up = requests::send(kind, 1..2, None);
    let first = exchange::once(gateway.address, &warm_up).await.map_err(RigError::system("a first send"))?;
    if first.0.status != 200 {
        return Err(RigError::Answer("a first send is not served"));
    }
    let bulk = requests::send(kind, 1..BULK_RECIPIENTS + 1, Some("wait=0"));
    let accepted = exchange::once(gateway.address, &bulk).await.map_err(RigError::system("the bulk"))?;
    if accepted.0.status != 202 {
        return Err(RigError::Answer("a bulk batch with wait=0 is not taken with 202"));
    }
    let singles = Load {
        target: gateway.address,
        requests: vec![requests::send(kind, 1..2, Some("wait=25"))],
        rate: RATE,
        duration: DURATION,
        patience: PATIENCE,
    };
    let samples = singles.run().await?;
    gateway.check_alive()?;
    let name = kind.name();
    let latencies = Latencies::of(&samples);
    let p99 = latencies.p99_ms().map(|latency| latency / 1000.0);
    sheet.add(("F9", &format!("{name}: p99 of the single sends")), (p99, "s"), Bound::AtMost(most_seconds));
    let served = samples.iter().filter(|sample| sample.status() == 200).count() as f64;
    let least = RATE * DURATION.as_secs_f64();
    sheet.add(("F9", &format!("{name}: single sends served")), (Some(served), ""), Bound::AtLeast(least));
    sheet.note(format!(
        "{name}: {}; {latencies}; recipients served when the last single was: {}; settings: defaults",
        count_ends(&samples),
        provider.recipient_count()
    ));
    Ok(())
}
