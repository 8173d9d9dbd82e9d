//! The five providers: slow, busy and choosy as the seed says, and in which life of which gateway each call came.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use crate::accounts::{ACCOUNTS, Account};
use crate::dice::Dice;
use crate::ledger::{Carry, Conduct, Dialect, Entry, Ledger, Named, Plan};
use crate::lives::Lives;

/// Most calls that a channel of one gateway has out.
pub(crate) const MOST_IN_FLIGHT: usize = 4;

/// The percentage of calls that are not answered for long, most of them not before the next kill.
const HELD_PERCENT: u64 = 2;

/// How long these are not answered: well within the patience of the gateway, which may live on.
const HELD: Duration = Duration::from_secs(2);

/// What all providers share.
pub(crate) struct Times {
    seed: u64,
    pub(crate) lives: Lives,
    /// Which life asks at which address; one that is free again gets another life.
    asked_at: Mutex<HashMap<String, usize>>,
    /// A call has come.
    pub(crate) arrived: Notify,
    delays: TaskTracker,
}

impl Times {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let (lives, arrived, delays) = (Lives::default(), Notify::new(), TaskTracker::new());
        Arc::new(Self { seed, lives, asked_at: Mutex::default(), arrived, delays })
    }

    /// An answer that takes its time, and sometimes more than its caller's life.
    fn carry(&self, life: usize, dice: &Dice) -> Carry {
        let released = self.lives.over(life).child_token();
        let delay = if dice.percent(HELD_PERCENT) { HELD } else { dice.milliseconds(0..=60) };
        let release = released.clone();
        self.delays.spawn(async move {
            let _ = tokio::time::timeout(delay, release.cancelled()).await;
            release.cancel();
        });
        Carry::After(released)
    }
}

/// One provider, with the channel of the same number.
pub(crate) struct Witness {
    pub(crate) ledger: Ledger,
    /// The life that wrote each entry of the ledger.
    lives: Arc<Mutex<Vec<usize>>>,
}

impl Witness {
    /// All five.
    pub(crate) async fn start_all(times: &Arc<Times>) -> Vec<Self> {
        let mut all = Vec::new();
        for account in ACCOUNTS {
            let lives = Arc::new(Mutex::new(Vec::new()));
            let ledger = Ledger::start(account, plan(account, Arc::clone(times), Arc::clone(&lives))).await;
            all.push(Self { ledger, lives });
        }
        all
    }

    /// The channel's section of the configuration; each life asks at an address of its own, which tells its calls.
    pub(crate) async fn channel(&self, times: &Times, number: usize, life: usize) -> String {
        let account = self.ledger.account;
        let address = self.ledger.fake.open_another(times.lives.over(life)).await.to_string();
        times.asked_at.lock().unwrap().insert(address.clone(), life);
        format!(
            "[channels.{}]\nprovider = '{}'\nbase_url = 'http://{address}'\n{}\nmax_in_flight = {MOST_IN_FLIGHT}\n\
             recipients_per_call = {}\ncalls_per_second = 10000\nmessages_per_second = 1000000\n",
            channel_name(number),
            account.provider,
            account.settings,
            per_call(number)
        )
    }

    /// Every call, and the life that wrote it.
    pub(crate) fn calls(&self) -> Vec<(usize, Entry)> {
        let (lives, entries) = (self.lives.lock().unwrap().clone(), self.ledger.entries());
        assert_eq!(lives.len(), entries.len(), "no token was refused");
        lives.into_iter().zip(entries).collect()
    }
}

pub(crate) fn channel_name(number: usize) -> String {
    format!("channel-{number}")
}

/// Most recipients of one call: few, so that batches have several calls.
pub(crate) fn per_call(number: usize) -> usize {
    Dialect::of(ACCOUNTS[number].provider).most_recipients.min(20)
}

fn plan(account: &'static Account, times: Arc<Times>, lives: Arc<Mutex<Vec<usize>>>) -> Plan {
    let dice = Dice::about(times.seed, account.provider);
    let dialect = Dialect::of(account.provider);
    // Who was refused once is taken when he comes again.
    let mut refused_before: HashSet<(String, String)> = HashSet::new();
    Box::new(move |named: &Named| {
        let life = times.asked_at.lock().unwrap()[&named.host];
        lives.lock().unwrap().push(life);
        times.arrived.notify_waiters();
        let conduct = match dice.number(1..=100) {
            1 => Conduct::Throttle { retry_after: None },
            2 => Conduct::Busy,
            _ if !dialect.names_refused => Conduct::Serve(Vec::new()),
            _ => {
                let mut refuse = |recipient: &&String| {
                    let who = (named.marker.clone(), (*recipient).clone());
                    dice.percent(4) && refused_before.insert(who)
                };
                Conduct::Serve(named.recipients.iter().filter(|who| refuse(who)).cloned().collect())
            }
        };
        (conduct, times.carry(life, &dice))
    })
}
