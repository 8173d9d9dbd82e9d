//! What befalls the gateways and their database, and when.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::cluster::Cluster;
use crate::dice::Dice;
use crate::gateway::Gateway;
use crate::rig::Rig;

/// How long a gateway is severed from its database: longer than its lease of 15 s, and until others have noticed.
const SEVERED: Duration = Duration::from_secs(20);

/// One thing that befalls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// `kill -9` of a gateway, which is started again.
    KillGateway,
    /// `kill -9` of the database, which is started again.
    KillDatabase,
    /// Its immediate stop; likewise.
    StopDatabase,
    /// All connections of a gateway to the database break, and for a moment there are no new ones.
    Cut,
    /// The same for so long that its lease is over, while other things befall the others.
    Sever,
}

/// The faults of one gateway on a file.
pub(crate) fn of_file(kills: usize) -> Vec<Fault> {
    vec![Fault::KillGateway; kills]
}

/// The faults of several gateways on a database: a third as many for it, a quarter as many cuts, and some long ones.
pub(crate) fn of_database(kills: usize, dice: &Dice) -> Vec<Fault> {
    let mut all = vec![Fault::KillGateway; kills];
    all.extend((0..kills / 3).map(|number| [Fault::KillDatabase, Fault::StopDatabase][number % 2]));
    all.extend(vec![Fault::Cut; kills / 4]);
    all.extend(vec![Fault::Sever; kills / 50]);
    for place in (1..all.len()).rev() {
        all.swap(place, dice.count(0..=place));
    }
    if kills > 0 {
        all.insert(0, Fault::Sever);
    }
    all
}

/// Brings the faults, one after the other.
pub(crate) struct Killer {
    pub(crate) rig: Arc<Rig>,
    pub(crate) dice: Dice,
    pub(crate) gateways: Vec<Gateway>,
}

impl Killer {
    pub(crate) async fn bring_all(&mut self, faults: &[Fault]) {
        for fault in faults {
            self.moment().await;
            self.mend(false).await;
            self.bring(*fault).await;
        }
        self.mend(true).await;
    }

    /// Waits for a random moment, in most cases one at which something is just happening.
    async fn moment(&self) {
        /// It may be that nothing happens.
        const PATIENCE: Duration = Duration::from_millis(300);
        let (rig, dice) = (&self.rig, &self.dice);
        sleep(dice.milliseconds(200..=1000)).await;
        let event = match dice.number(1..=5) {
            1 => &rig.times.arrived,
            2 => &rig.answered,
            3 => &rig.asked,
            4 => &rig.receiver.arrived,
            _ => return,
        };
        let _ = timeout(PATIENCE, event.notified()).await;
        if dice.percent(50) {
            sleep(dice.milliseconds(0..=5)).await;
        }
    }

    async fn bring(&mut self, fault: Fault) {
        match fault {
            Fault::KillGateway => {
                let victim = self.victim();
                let (gateway, rig) = (&mut self.gateways[victim], &self.rig);
                rig.times.lives.befall(gateway.life, |fate| fate.is_killed = true);
                gateway.end_life(rig).await;
                gateway.begin_life(rig).await;
            }
            Fault::KillDatabase => self.end_database(Cluster::kill).await,
            Fault::StopDatabase => self.end_database(Cluster::crash).await,
            Fault::Cut => {
                let victim = self.victim();
                self.close(victim);
                sleep(self.dice.milliseconds(0..=1500)).await;
                self.open(victim);
            }
            Fault::Sever => {
                // One at a time, so that the others go on.
                self.mend(true).await;
                let victim = self.victim();
                self.close(victim);
                self.gateways[victim].severed_until = Some(Instant::now() + SEVERED);
            }
        }
    }

    /// A gateway that has its database.
    fn victim(&self) -> usize {
        let whole = (0..self.gateways.len()).filter(|number| self.gateways[*number].severed_until.is_none());
        self.dice.pick(&whole.collect::<Vec<_>>())
    }

    async fn end_database(&self, end: fn(&Cluster)) {
        for gateway in &self.gateways {
            self.shake(gateway);
        }
        self.rig.engine.end_database(end).await;
        sleep(self.dice.milliseconds(0..=1000)).await;
        self.rig.engine.start_database().await;
    }

    fn shake(&self, gateway: &Gateway) {
        self.rig.times.lives.befall(gateway.life, |fate| fate.is_shaken = true);
    }

    fn close(&self, number: usize) {
        let gateway = &self.gateways[number];
        self.shake(gateway);
        gateway.way.as_ref().unwrap().close();
    }

    fn open(&self, number: usize) {
        self.gateways[number].way.as_ref().unwrap().open();
    }

    /// Gives a severed gateway its database back if it is time, or once it is.
    async fn mend(&mut self, waits: bool) {
        for number in 0..self.gateways.len() {
            let Some(until) = self.gateways[number].severed_until else { continue };
            if waits {
                sleep_until(until).await;
            }
            if until <= Instant::now() {
                self.gateways[number].severed_until = None;
                self.open(number);
            }
        }
    }
}
