//! One run: gateways are started, killed and started again on one store while the callers go on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use imcast::dispatch::clock::Clock;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::dice::Dice;
use crate::engine::Engine;
use crate::faults::{Fault, Killer};
use crate::gateway::{Gateway, Up};
use crate::load;
use crate::reading;
use crate::receiver::Receiver;
use crate::record::Record;
use crate::verdict::books::Books;
use crate::witness::{Times, Witness};

/// How long the callers go on after the last fault.
const LAST: Duration = Duration::from_millis(500);

/// How long the callers go on in a run without faults.
const CALM: Duration = Duration::from_secs(3);

/// No caller waits longer for his last answer.
const LAST_ANSWER: Duration = Duration::from_secs(180);

/// What is to be done in a run.
pub(crate) struct Course {
    pub(crate) seed: u64,
    pub(crate) engine: Engine,
    /// How many of them are up at the same time; one on a file.
    pub(crate) gateways: usize,
    /// Callers at work at the same time.
    pub(crate) callers: usize,
    pub(crate) faults: Vec<Fault>,
}

/// What everybody shares.
pub(crate) struct Rig {
    pub(crate) seed: u64,
    pub(crate) engine: Engine,
    pub(crate) record: Record,
    pub(crate) client: Client,
    /// A request is about to be written.
    pub(crate) asked: Notify,
    /// An answer has come.
    pub(crate) answered: Notify,
    /// Said when no caller shall begin anything new.
    pub(crate) is_enough: CancellationToken,
    pub(crate) up: watch::Sender<Vec<Up>>,
    pub(crate) times: Arc<Times>,
    pub(crate) witnesses: Vec<Witness>,
    pub(crate) receiver: Receiver,
    /// What the gateways logged, and in which life.
    pub(crate) log: Mutex<Vec<(usize, String)>>,
}

/// Goes through a course, and reads all books in the end.
pub(crate) async fn run(course: Course) -> Books {
    let Course { seed, engine, gateways: count, callers, faults } = course;
    let times = Times::new(seed);
    let rig = Arc::new(Rig {
        seed,
        engine,
        record: Record::default(),
        client: Client::new(),
        asked: Notify::new(),
        answered: Notify::new(),
        is_enough: CancellationToken::new(),
        up: watch::Sender::default(),
        witnesses: Witness::start_all(&times).await,
        times,
        receiver: Receiver::start(seed).await,
        log: Mutex::default(),
    });
    let mut gateways = Vec::new();
    for _ in 0..count {
        gateways.push(Gateway::start(&rig).await);
    }
    let callers = load::start(&rig, callers);
    let mut killer = Killer { rig: Arc::clone(&rig), dice: Dice::about(seed, "killer"), gateways };
    killer.bring_all(&faults).await;
    sleep(if faults.is_empty() { CALM } else { LAST }).await;
    rig.is_enough.cancel();
    let calm_since = Clock::system().now();
    timeout(LAST_ANSWER, callers.join_all()).await.expect("an answer for every caller");
    let finals = reading::reports(&rig).await;
    rig.receiver.has_told(&reading::ends_to_tell(&rig, &finals)).await;
    for gateway in &mut killer.gateways {
        gateway.end_life(&rig).await;
    }
    for witness in &rig.witnesses {
        witness.ledger.fake.idle(0).await;
    }
    let calls = rig.witnesses.iter().map(Witness::calls).collect();
    let log = std::mem::take(&mut *rig.log.lock().unwrap());
    let (lines, events, fates) = (rig.record.take(), rig.receiver.events(), rig.times.lives.fates());
    Books { lines, finals, calls, events, fates, faults, calm_since, log }
}

impl Rig {
    /// A gateway that takes requests, once there is one.
    pub(crate) async fn up(&self, dice: &Dice) -> Up {
        let mut up = self.up.subscribe();
        let found = up.wait_for(|up| !up.is_empty()).await.unwrap();
        dice.pick(&found)
    }
}
