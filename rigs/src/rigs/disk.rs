//! D10: the disk is full, can only be read, or is slow, while durable batches come in.
//!
//! Twice each: the cause goes away under load, and the process is killed before it does and started again. The limit
//! on the size of files is the system's own; the other faults come from a shim in front of the C library.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::process::Command;

use crate::RigError;
use crate::figures::{Bound, Sheet};
use crate::gateway::{Changes, Gateway};
use crate::load::{Load, Sample};
use crate::promises::Promises;
use crate::provider::{Kind, Mode, Provider};
use crate::ready::Watch;
use crate::rigs::{Bench, PATIENCE};
use crate::statistics::Latencies;

/// Batches per second, of two recipients each.
const RATE: f64 = 50.0;

/// What the provider takes for an answer: so long calls are out when the fault comes.
const LATENCY: Duration = Duration::from_millis(100);

/// How long all is well before the fault, and how long the load goes on after it.
const BEFORE: Duration = Duration::from_secs(2);
const AFTER: Duration = Duration::from_secs(6);

const MOST_SECONDS: f64 = 5.0;

const CHANNEL: &str = "recipients_per_call = 1\ncalls_per_second = 100000\n";

/// What is wrong with the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// Nothing can be written: the system's limit on the size of files is 0.
    Limit,
    /// No space is left.
    Full,
    /// Nothing can be written.
    ReadOnly,
    /// A flush takes 100 ms.
    Slow,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Limit => "size limit",
            Self::Full => "disk full",
            Self::ReadOnly => "read only",
            Self::Slow => "slow flushes",
        }
    }

    /// What the shim is told.
    const fn word(self) -> &'static str {
        match self {
            Self::Limit => "-",
            Self::Full => "f",
            Self::ReadOnly => "r",
            Self::Slow => "s",
        }
    }
}

/// How a fault ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    /// Its cause goes away.
    Passes,
    /// The process is killed before that.
    Killed,
}

pub(super) async fn run(bench: &Bench<'_>, sheet: &mut Sheet) -> Result<(), RigError> {
    let folder = std::env::temp_dir().join(format!("imcast-rig-disk-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(RigError::system("a folder for the shim"))?;
    let outcome = run_in(bench, &folder, sheet).await;
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

async fn run_in(bench: &Bench<'_>, folder: &Path, sheet: &mut Sheet) -> Result<(), RigError> {
    let shim = Shim::build(folder).await?;
    for fault in [Fault::Limit, Fault::Full, Fault::ReadOnly, Fault::Slow] {
        for end in [End::Passes, End::Killed] {
            measure(bench, &shim, (fault, end), sheet).await?;
        }
    }
    sheet.note(format!("changed settings: {}", CHANNEL.trim().replace('\n', ", ")));
    Ok(())
}

/// The shim and the file that tells it what to do.
struct Shim {
    library: PathBuf,
    control: PathBuf,
}

impl Shim {
    async fn build(folder: &Path) -> Result<Self, RigError> {
        let (source, library) = (folder.join("disk.c"), folder.join("disk.so"));
        std::fs::write(&source, include_str!("../../shim/disk.c")).map_err(RigError::system("the shim"))?;
        let mut compiler = Command::new("cc");
        compiler.args(["-O2", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        if !compiler.status().await.map_err(RigError::system("cc"))?.success() {
            return Err(RigError::Answer("the shim does not compile"));
        }
        let shim = Self { library, control: folder.join("condition") };
        shim.tell("-")?;
        Ok(shim)
    }

    /// In place, since the file is mapped.
    fn tell(&self, word: &str) -> Result<(), RigError> {
        use std::io::Write as _;
        let file = std::fs::File::options().create(true).truncate(false).write(true).open(&self.control);
        let written = file.and_then(|mut file| file.write_all(word.as_bytes()));
        written.map_err(RigError::system("the shim's file"))
    }
}

fn apply(shim: &Shim, gateway: &Gateway, fault: Fault) -> Result<(), RigError> {
    if fault == Fault::Limit {
        return gateway.limit_files(Some(0));
    }
    shim.tell(fault.word())
}

fn lift(shim: &Shim, gateway: &Gateway) -> Result<(), RigError> {
    gateway.limit_files(None)?;
    shim.tell("-")
}

async fn measure(
    bench: &Bench<'_>,
    shim: &Shim,
    (fault, end): (Fault, End),
    sheet: &mut Sheet,
) -> Result<(), RigError> {
    let name = match end {
        End::Passes => fault.name().to_owned(),
        End::Killed => format!("{}, killed", fault.name()),
    };
    let provider = Provider::start(Kind::Tim, Mode::Fine(LATENCY)).await?;
    provider.keep_book();
    let environment = vec![("LD_PRELOAD", shim.library.clone()), ("IMCAST_RIG_DISK", shim.control.clone())];
    let changes = Changes { general: "", channel: CHANNEL };
    let mut gateway =
        Gateway::start_in(bench.options, bench.cores, &[&provider], &changes, environment).await?;
    let fault_time = bench.options.seconds(4, 20);
    let after = if end == End::Passes { AFTER } else { Duration::ZERO };
    let duration = BEFORE + fault_time + after;
    let promises = Promises::new(provider.kind, (duration.as_secs_f64() * RATE) as u64);
    let requests = promises.requests.clone();
    let load =
        Load { target: gateway.address, requests, rate: RATE, duration, patience: PATIENCE }.start()?;
    let watch = Watch::start(gateway.address);
    tokio::time::sleep(BEFORE).await;
    apply(shim, &gateway, fault)?;
    let began_at = load.now();
    tokio::time::sleep(fault_time).await;
    let samples = if end == End::Passes {
        lift(shim, &gateway)?;
        let (passed, passed_at) = (Instant::now(), load.now());
        let samples = load.finish().await;
        gateway.check_alive()?;
        let ready = watch.seconds_until(true, passed);
        judge_recovery(&name, fault, (ready, first_served(&samples, passed_at)), sheet);
        samples
    } else {
        gateway.kill().await?;
        let samples = load.finish().await;
        shim.tell("-")?;
        gateway.start_again().await?;
        samples
    };
    judge_meanwhile(&name, fault, &during(&samples, began_at..began_at + fault_time), sheet);
    if end == End::Passes {
        let dead = (Some(watch.dead_count() as f64), "");
        sheet.add(("D10", &format!("{name}: /livez failed")), dead, Bound::AtMost(0.0));
    }
    drop(watch);
    promises.audit(gateway.address, &samples, &provider).await?.judge("D10", &name, sheet);
    gateway.kill().await?;
    let is_whole = integrity(&gateway.file("imcast.db")).await;
    sheet.add(("D10", &format!("{name}: integrity_check is ok")), (is_whole, ""), Bound::AtLeast(1.0));
    Ok(())
}

/// Those that came and were answered while the fault lasted.
fn during(samples: &[Sample], time: std::ops::Range<Duration>) -> Vec<Sample> {
    let is_inside =
        |sample: &&Sample| time.contains(&sample.due) && time.contains(&(sample.due + sample.latency));
    samples.iter().filter(is_inside).copied().collect()
}

/// Seconds after which the first batch that came after `since` was accepted.
fn first_served(samples: &[Sample], since: Duration) -> Option<f64> {
    let served = samples.iter().filter(|sample| sample.due >= since && (200..300).contains(&sample.status()));
    let ends = served.map(|sample| (sample.due + sample.latency).saturating_sub(since).as_secs_f64());
    ends.reduce(f64::min)
}

fn judge_recovery(name: &str, fault: Fault, (ready, served): (Option<f64>, Option<f64>), sheet: &mut Sheet) {
    if fault == Fault::Slow {
        return;
    }
    sheet.add(("D10", &format!("{name}: ready again after")), (ready, "s"), Bound::AtMost(MOST_SECONDS));
    sheet.add(("D10", &format!("{name}: accepts again after")), (served, "s"), Bound::AtMost(MOST_SECONDS));
}

fn judge_meanwhile(name: &str, fault: Fault, meanwhile: &[Sample], sheet: &mut Sheet) {
    let promised = meanwhile.iter().filter(|sample| (200..300).contains(&sample.status())).count();
    let refused = meanwhile.iter().filter(|sample| sample.status() == 503).count();
    let latencies = Latencies::of(meanwhile);
    sheet.note(format!("{name}: during the fault {promised} accepted, {refused} refused; {latencies}"));
    match fault {
        Fault::Slow => {
            let part = (Some(promised as f64 / meanwhile.len().max(1) as f64), "");
            sheet.add(("D10", &format!("{name}: part accepted meanwhile")), part, Bound::AtLeast(1.0));
        }
        Fault::Limit | Fault::ReadOnly => {
            let accepted = (Some(promised as f64), "");
            sheet.add(("D10", &format!("{name}: accepted without a disk")), accepted, Bound::AtMost(0.0));
        }
        // What fits into the present size of its files is written, and may be promised.
        Fault::Full => {}
    }
}

/// 1 if SQLite finds nothing wrong, 0 if it does; `None` = its tool is not there.
async fn integrity(file: &Path) -> Option<f64> {
    let output = Command::new("sqlite3").arg(file).arg("PRAGMA integrity_check").output().await.ok()?;
    Some(f64::from(u8::from(output.stdout.trim_ascii() == b"ok")))
}
