//! The five providers: slow, busy and choosy as the seed says, and in which life of the gateway each call came.

use std::collections::HashSet;
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::accounts::{ACCOUNTS, Account};
use crate::dice::Dice;
use crate::ledger::{Carry, Conduct, Dialect, Entry, Ledger, Named, Plan};

/// Most calls that a channel has out.
pub(crate) const MOST_IN_FLIGHT: usize = 4;

/// The percentage of calls that are not answered before the next kill.
const HELD_PERCENT: u64 = 2;

/// What all providers share.
pub(crate) struct Times {
    seed: u64,
    life: Mutex<Life>,
    /// A call has come.
    pub(crate) arrived: Notify,
    delays: TaskTracker,
}

/// One life of the gateway.
#[derive(Clone)]
struct Life {
    number: usize,
    /// Whether it will be killed.
    is_doomed: bool,
    over: CancellationToken,
}

impl Times {
    pub(crate) fn new(seed: u64) -> Arc<Self> {
        let life = Life { number: 0, is_doomed: false, over: CancellationToken::new() };
        Arc::new(Self { seed, life: Mutex::new(life), arrived: Notify::new(), delays: TaskTracker::new() })
    }

    /// Lets every held answer go: whoever waited for it is dead.
    pub(crate) fn end_life(&self) {
        self.life.lock().unwrap().over.cancel();
    }

    /// The number of a new life; the first is 1.
    pub(crate) fn begin_life(&self, is_doomed: impl Fn(usize) -> bool) -> usize {
        let mut life = self.life.lock().unwrap();
        let number = life.number + 1;
        *life = Life { number, is_doomed: is_doomed(number), over: CancellationToken::new() };
        number
    }

    /// An answer that takes its time, and sometimes more than its caller's life.
    fn carry(&self, life: &Life, dice: &Dice) -> Carry {
        if life.is_doomed && dice.percent(HELD_PERCENT) {
            return Carry::After(life.over.clone());
        }
        let released = life.over.child_token();
        let (delay, release) = (dice.milliseconds(0..=60), released.clone());
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
    /// The life in which each entry of the ledger was written.
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

    /// The channel's section of the configuration.
    pub(crate) fn channel(&self, number: usize) -> String {
        let (account, url) = (self.ledger.account, self.ledger.fake.base_url());
        format!(
            "[channels.{}]\nprovider = '{}'\nbase_url = '{url}'\n{}\nmax_in_flight = {MOST_IN_FLIGHT}\n\
             recipients_per_call = {}\ncalls_per_second = 10000\nmessages_per_second = 1000000\n",
            channel_name(number),
            account.provider,
            account.settings,
            per_call(number)
        )
    }

    /// Every call, and the life in which it came.
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
        let life = times.life.lock().unwrap().clone();
        lives.lock().unwrap().push(life.number);
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
        (conduct, times.carry(&life, &dice))
    })
}
