//! One run: the gateway is started, killed and started again on one file while the callers go on.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::dice::Dice;
use crate::load;
use crate::process::Process;
use crate::record::Record;
use crate::verdict::books::{Books, Final};
use crate::witness::{Times, Witness};

/// How long the callers go on in a life that nobody ends.
const LAST_LIFE: Duration = Duration::from_millis(500);

/// How long the callers go on in a run without kills.
const CALM: Duration = Duration::from_secs(3);

/// Repeats come soon, and a circuit does not stop the load for long.
const SETTINGS: &str = "[delivery]\nbackoff_base_ms = 5\nthrottled_backoff_base_ms = 10\nbudget_recovery_ms = 100\n\
                        circuit_pause_ms = 100\ncircuit_pause_cap_ms = 200\n";

/// What the callers share.
pub(crate) struct Rig {
    pub(crate) seed: u64,
    kills: usize,
    pub(crate) record: Record,
    pub(crate) client: Client,
    /// A request is about to be written.
    pub(crate) asked: Notify,
    /// An answer has come.
    pub(crate) answered: Notify,
    /// Said when no caller shall begin anything new.
    pub(crate) is_enough: CancellationToken,
    up: watch::Sender<Option<Up>>,
    times: Arc<Times>,
    witnesses: Vec<Witness>,
    directory: TempDir,
}

/// A gateway that takes requests.
#[derive(Clone, Copy)]
pub(crate) struct Up {
    pub(crate) life: usize,
    pub(crate) address: SocketAddr,
}

/// Kills the gateway so often, and reads all books in the end.
pub(crate) async fn run(seed: u64, kills: usize) -> Books {
    let times = Times::new(seed);
    let witnesses = Witness::start_all(&times).await;
    let rig = Arc::new(Rig {
        seed,
        kills,
        record: Record::default(),
        client: Client::new(),
        asked: Notify::new(),
        answered: Notify::new(),
        is_enough: CancellationToken::new(),
        up: watch::Sender::new(None),
        times,
        witnesses,
        directory: tempfile::tempdir().unwrap(),
    });
    let dice = Dice::about(seed, "killer");
    let mut process = rig.start().await;
    let callers = load::start(&rig);
    for _ in 0..kills {
        rig.moment(&dice).await;
        rig.kill(process).await;
        process = rig.start().await;
    }
    sleep(if kills == 0 { CALM } else { LAST_LIFE }).await;
    rig.is_enough.cancel();
    callers.join_all().await;
    let finals = rig.reports(process.address()).await;
    let calls = rig.witnesses.iter().map(Witness::calls).collect();
    Books { lines: rig.record.lines(), finals, calls, kills }
}

impl Rig {
    /// The gateway, once it takes requests, and not in a life that is known to have ended.
    pub(crate) async fn up(&self, ended_life: usize) -> Up {
        let mut up = self.up.subscribe();
        let lives = |up: &Option<Up>| up.is_some_and(|up| up.life > ended_life);
        let found = up.wait_for(lives).await.unwrap();
        found.unwrap()
    }

    /// Whether this life is not ended by a kill.
    pub(crate) const fn is_last(&self, life: usize) -> bool {
        life > self.kills
    }

    async fn start(&self) -> Process {
        let file = self.directory.path().join("imcast.db");
        let channels: Vec<String> =
            self.witnesses.iter().enumerate().map(|(number, witness)| witness.channel(number)).collect();
        let store = format!("[store]\nurl = 'sqlite:{}'\n", file.display());
        let life = self.times.begin_life(|life| !self.is_last(life));
        let process = Process::start(&format!("{SETTINGS}{store}{}", channels.concat())).await;
        self.up.send_replace(Some(Up { life, address: process.address() }));
        process
    }

    /// Waits for a random moment, in most cases one at which something is just happening.
    async fn moment(&self, dice: &Dice) {
        /// It may be that nothing happens.
        const PATIENCE: Duration = Duration::from_millis(300);
        sleep(dice.milliseconds(200..=1000)).await;
        let event = match dice.number(1..=4) {
            1 => &self.times.arrived,
            2 => &self.answered,
            3 => &self.asked,
            _ => return,
        };
        let _ = timeout(PATIENCE, event.notified()).await;
        if dice.percent(50) {
            sleep(dice.milliseconds(0..=5)).await;
        }
    }

    /// Ends a life; returns when everything that it had written has arrived.
    async fn kill(&self, process: Process) {
        self.up.send_replace(None);
        drop(process);
        self.times.end_life();
        for witness in &self.witnesses {
            witness.ledger.fake.idle(0).await;
        }
    }

    /// The reports of all batches, each once it is over.
    async fn reports(&self, address: SocketAddr) -> Vec<Final> {
        let known = self.record.lines();
        let mut ids: Vec<String> = known.iter().filter_map(|line| Some(line.batch()?.to_owned())).collect();
        ids.extend(self.listed(address).await);
        ids.sort_unstable();
        ids.dedup();
        let mut finals = Vec::new();
        for id in ids {
            finals.extend(self.report(address, &id).await);
        }
        finals
    }

    /// The names of all batches that the gateway knows.
    async fn listed(&self, address: SocketAddr) -> Vec<String> {
        let (mut ids, mut token) = (Vec::new(), String::new());
        loop {
            let path = format!("/v1/batches?page_size=500&page_token={token}");
            let (status, text) = self.client.get(address, &path, &[]).await;
            assert_eq!(status, 200, "{text}");
            let page: Value = serde_json::from_str(&text).unwrap();
            let lines = page["batches"].as_array().unwrap_or_else(|| panic!("{text}"));
            ids.extend(lines.iter().map(|line| line["id"].as_str().unwrap().to_owned()));
            token = page["next_page_token"].as_str().unwrap().to_owned();
            if token.is_empty() {
                return ids;
            }
        }
    }

    /// The report of a batch once it is over; `None`: there is no such batch.
    async fn report(&self, address: SocketAddr, id: &str) -> Option<Final> {
        /// How often it is waited for 25 s.
        const MOST_WAITS: usize = 4;
        let path = format!("/v1/batches/{id}");
        let mut report = Value::Null;
        for _ in 0..MOST_WAITS {
            let (status, text) = self.client.get(address, &path, &[("prefer", "wait=25")]).await;
            if status == 404 {
                return None;
            }
            assert_eq!(status, 200, "{text}");
            report = serde_json::from_str(&text).unwrap();
            if report["status"] != "processing" {
                break;
            }
        }
        let results = if report["results_truncated"] == true {
            let accept = [("accept", "application/x-ndjson")];
            let (status, text) = self.client.get(address, &format!("{path}/results"), &accept).await;
            assert_eq!(status, 200, "{text}");
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
        } else {
            report["results"].as_array().unwrap_or_else(|| panic!("{report}")).clone()
        };
        Some(Final::new(report, results))
    }
}
