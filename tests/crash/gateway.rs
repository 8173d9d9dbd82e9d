//! One gateway: the program, started again after each of its ends.

use std::net::SocketAddr;

use tokio::time::Instant;

use crate::engine::Way;
use crate::process::Process;
use crate::rig::Rig;

/// Repeats come soon, a circuit does not stop the load for long, and nobody waits long for a batch of the dead.
const SETTINGS: &str = "[delivery]\nbackoff_base_ms = 5\nthrottled_backoff_base_ms = 10\nbudget_recovery_ms = 100\n\
                        circuit_pause_ms = 100\ncircuit_pause_cap_ms = 200\n[batches]\ndefault_wait_seconds = 2\n";

/// What the log says of a lease that was lost.
const LEASE_LOST: &str = "The lease on the database was lost";

/// A gateway that takes requests.
#[derive(Clone, Copy)]
pub(crate) struct Up {
    pub(crate) life: usize,
    pub(crate) address: SocketAddr,
}

/// One gateway through all its lives.
pub(crate) struct Gateway {
    process: Option<Process>,
    pub(crate) life: usize,
    /// Its own way to the database, where there is one.
    pub(crate) way: Option<Way>,
    /// It has no database until then.
    pub(crate) severed_until: Option<Instant>,
}

impl Gateway {
    pub(crate) async fn start(rig: &Rig) -> Self {
        let way = rig.engine.way().await;
        let mut gateway = Self { process: None, life: 0, way, severed_until: None };
        gateway.begin_life(rig).await;
        gateway
    }

    /// Starts the program.
    pub(crate) async fn begin_life(&mut self, rig: &Rig) {
        self.life = rig.times.lives.begin();
        let mut channels = String::new();
        for (number, witness) in rig.witnesses.iter().enumerate() {
            channels.push_str(&witness.channel(&rig.times, number, self.life).await);
        }
        let store = format!("[store]\nurl = '{}'\n", rig.engine.url(self.way.as_ref()));
        let callbacks = rig.receiver.settings();
        let process = Process::start(&format!("{SETTINGS}{store}{callbacks}{channels}")).await;
        let up = Up { life: self.life, address: process.address() };
        self.process = Some(process);
        rig.up.send_modify(|all| all.push(up));
    }

    /// Kills the program.
    pub(crate) async fn end_life(&mut self, rig: &Rig) {
        rig.up.send_modify(|all| all.retain(|up| up.life != self.life));
        let log = self.process.take().unwrap().kill().await;
        let lost_leases = log.iter().filter(|line| line.contains(LEASE_LOST)).count();
        rig.log.lock().unwrap().extend(log.into_iter().map(|line| (self.life, line)));
        rig.times.lives.befall(self.life, |fate| fate.lost_leases = lost_leases);
        rig.times.lives.end(self.life);
    }
}
