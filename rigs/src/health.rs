//! Probes a gateway's liveness and memory while something else goes on.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use tokio::sync::oneshot;
use tokio::task::JoinSet;

use crate::gateway::Gateway;
use crate::process::Process;
use crate::statistics::Latencies;
use crate::{exchange, requests};

/// Between two probes.
const EVERY: Duration = Duration::from_millis(50);

/// A probe that takes longer has failed.
const PATIENCE: Duration = Duration::from_secs(5);

/// What the probes saw.
#[derive(Default)]
pub(crate) struct Health {
    probes: Vec<Probe>,
}

struct Probe {
    /// From the start of the watch.
    at: Duration,
    /// `None` = it failed.
    latency: Option<Duration>,
    resident_mib: Option<f64>,
}

/// A running watch; dropping it ends it.
pub(crate) struct Watch {
    stop: oneshot::Sender<()>,
    watching: JoinSet<Health>,
}

impl Health {
    /// Watches from now on.
    pub(crate) fn watch(gateway: &Gateway) -> Watch {
        let (stop, stopped) = oneshot::channel();
        let mut watching = JoinSet::new();
        watching.spawn(probe_until(gateway.address, gateway.process(), stopped));
        Watch { stop, watching }
    }

    /// How long the probes took that were answered.
    pub(crate) fn latencies(&self) -> Latencies {
        self.probes.iter().filter_map(|probe| probe.latency).collect()
    }

    /// How many probes failed; a watch that saw nothing counts as one.
    pub(crate) fn failed_count(&self) -> usize {
        let failed = self.probes.iter().filter(|probe| probe.latency.is_none()).count();
        failed.max(usize::from(self.probes.is_empty()))
    }

    /// Most resident memory in this stretch of time.
    pub(crate) fn most_mib(&self, stretch: Range<Duration>) -> Option<f64> {
        let inside = self.probes.iter().filter(|probe| stretch.contains(&probe.at));
        inside.filter_map(|probe| probe.resident_mib).reduce(f64::max)
    }
}

impl Watch {
    /// Ends it.
    pub(crate) async fn end(mut self) -> Health {
        drop(self.stop);
        self.watching.join_next().await.and_then(Result::ok).unwrap_or_default()
    }
}

/// Every probe has a connection of its own, as an orchestrator's has.
async fn probe_until(address: SocketAddr, process: Process, mut stopped: oneshot::Receiver<()>) -> Health {
    let request = requests::get("/livez");
    let start = Instant::now();
    let mut health = Health::default();
    while matches!(stopped.try_recv(), Err(oneshot::error::TryRecvError::Empty)) {
        let at = start.elapsed();
        let probe = tokio::time::timeout(PATIENCE, exchange::once(address, &request)).await;
        let is_alive = matches!(probe, Ok(Ok((answer, _))) if answer.status == 200);
        let latency = is_alive.then(|| start.elapsed().saturating_sub(at));
        health.probes.push(Probe { at, latency, resident_mib: process.resident_mib() });
        tokio::time::sleep_until((start + at + EVERY).into()).await;
    }
    health
}
