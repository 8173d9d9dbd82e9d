//! F5: a caller that waits five seconds gets its 202 after five seconds, even if the provider says nothing.

use std::time::Duration;

use crate::RigError;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::load::{End, Load, Sample};
use crate::provider::{Kind, Mode, Provider};
use crate::requests;
use crate::rigs::{Bench, PATIENCE};
use crate::statistics::{Latencies, count_ends};

const WAIT_SECONDS: f64 = 5.0;

/// A hundred requests in four seconds: the last answer is due before the first call's timeout (10 s) is over.
const RATE: f64 = 25.0;
const DURATION: Duration = Duration::from_secs(4);

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    let provider = Provider::start(Kind::Tim, Mode::BlackHole).await?;
    let changes = Changes { general: "", channel: "" };
    let mut gateway = Gateway::start(bench.options, bench.cores, &[&provider], &changes).await?;
    let request = requests::send(Kind::Tim, 1..2, Some("wait=5"));
    let load = Load {
        target: gateway.address,
        requests: vec![request],
        rate: RATE,
        duration: DURATION,
        patience: PATIENCE,
    };
    let samples = load.run().await?;
    gateway.check_alive()?;
    let is_kept = |sample: &&Sample| matches!(sample.end, End::Answered(answer) if answer.status == 202 && answer.has_location);
    let kept = samples.iter().filter(is_kept).count();
    let off = samples.iter().map(|sample| (sample.latency.as_secs_f64() - WAIT_SECONDS).abs());
    let bound = Bound::AtLeast(RATE * DURATION.as_secs_f64());
    sheet.add(("F5", "answers that are 202 with Location"), (Some(kept as f64), ""), bound);
    let worst = off.reduce(f64::max);
    sheet.add(("F5", "largest distance from 5 s"), (worst, "s"), Bound::AtMost(0.2));
    sheet.note(format!("answers: {}; {}; settings: defaults", count_ends(&samples), Latencies::of(&samples)));
    Ok(())
}
