//! What happens in one simulated world, drawn from a seed: channels, their troubles, and who sends what when.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

use imcast::adapter::MessageCost;
use imcast::domain::batch::{OnInvalid, RetryUnknown};

use crate::dice::Dice;

/// Room for every route of every world.
pub(crate) const ROOMY: usize = 8000;

/// One world.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) channels: Vec<ChannelSpec>,
    pub(crate) batches: Vec<BatchSpec>,
    pub(crate) drain: Option<Drain>,
    /// Most routes that a channel works on or keeps waiting.
    pub(crate) channel_routes: usize,
}

/// One channel and the provider behind it.
#[derive(Clone, Debug)]
pub(crate) struct ChannelSpec {
    pub(crate) recipients_per_call: usize,
    pub(crate) cost: MessageCost,
    pub(crate) max_in_flight: u32,
    pub(crate) calls_per_second: Option<u32>,
    pub(crate) messages_per_second: Option<u32>,
    /// `None` = the channel signs its calls.
    pub(crate) token_lifetime: Option<Duration>,
    pub(crate) latency_ms: RangeInclusive<u64>,
    /// How many calls in a hundred meet one of `faults`.
    pub(crate) fault_percent: u64,
    pub(crate) faults: Vec<FaultKind>,
    /// How many recipients in a hundred the provider refuses.
    pub(crate) refused_percent: u64,
    pub(crate) outages: Vec<Outage>,
    /// What the calls with these numbers, from 0, meet.
    pub(crate) planted: BTreeMap<usize, Fate>,
}

/// What can go wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    NoConnection,
    Break(Break),
    Throttled,
    SafeRefusal,
    FinalRefusal,
    Forbidden,
    /// The provider forgets every token that it has given.
    Revoked,
    /// Some recipients are missing in the answer.
    Forgetful,
    /// The answer names somebody whom nobody asked for.
    Chatty,
    /// The token endpoint refuses.
    NoToken,
}

/// How a call breaks so that nobody can know whether it was processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    Reset,
    Timeout,
    /// A gateway's error page.
    Page(u16),
    /// Status 200, but nothing that the provider documents.
    Garbage,
    Unreadable(u16),
    /// A code documented as possibly processed.
    Undecided,
    /// An adapter that counts wrongly.
    WrongLength,
    /// An adapter that panics.
    Panic,
}

pub(crate) const BREAKS: [Break; 10] = [
    Break::Reset,
    Break::Timeout,
    Break::Page(502),
    Break::Page(500),
    Break::Page(408),
    Break::Garbage,
    Break::Unreadable(200),
    Break::Undecided,
    Break::WrongLength,
    Break::Panic,
];

/// What becomes of one call at the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Nothing was written.
    NoConnection,
    /// Documented: nobody was served.
    Refused(Refusal),
    /// Nobody but the ledger knows.
    Broken { how: Break, is_accepted: bool },
    /// An answer about every recipient.
    Served { is_forgetful: bool, is_chatty: bool },
}

/// Why a provider serves nobody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// For its rate, with the seconds that the provider asks to wait.
    Throttled(Option<u64>),
    /// The same as a bare 429, without the provider's envelope.
    BareThrottled(Option<u64>),
    Safe,
    Final,
    /// A bare 4xx.
    BareFinal,
    Forbidden,
    OldToken,
}

/// A time in which every call of a channel fares alike.
#[derive(Clone, Debug)]
pub(crate) struct Outage {
    pub(crate) from: Duration,
    pub(crate) to: Duration,
    pub(crate) fate: Fate,
}

/// One batch.
#[derive(Clone, Debug)]
pub(crate) struct BatchSpec {
    pub(crate) at: Duration,
    pub(crate) expires_after: Duration,
    pub(crate) retry_unknown: RetryUnknown,
    pub(crate) on_invalid: OnInvalid,
    pub(crate) routes: Vec<RouteSpec>,
    /// When the caller wants no further call, after the start.
    pub(crate) cancel_after: Option<Duration>,
    /// When somebody looks at the live report, after the start.
    pub(crate) look_after: Duration,
}

/// One route; nobody in `to` means everybody.
#[derive(Clone, Debug)]
pub(crate) struct RouteSpec {
    pub(crate) channel: usize,
    pub(crate) to: Vec<String>,
}

/// When the gateway stops.
#[derive(Clone, Debug)]
pub(crate) struct Drain {
    pub(crate) at: Duration,
    pub(crate) grace: Duration,
}

impl Default for ChannelSpec {
    fn default() -> Self {
        Self {
            recipients_per_call: 10,
            cost: MessageCost::PerRecipient,
            max_in_flight: 50,
            calls_per_second: None,
            messages_per_second: None,
            token_lifetime: None,
            latency_ms: 20..=80,
            fault_percent: 0,
            faults: Vec::new(),
            refused_percent: 0,
            outages: Vec::new(),
            planted: BTreeMap::new(),
        }
    }
}

impl ChannelSpec {
    /// Whether nothing ever goes wrong at its provider.
    pub(crate) fn is_healthy(&self) -> bool {
        self.fault_percent == 0 && self.outages.is_empty() && self.planted.is_empty()
    }

    /// Whether nothing holds its calls back for long.
    pub(crate) fn is_unpaced(&self) -> bool {
        self.calls_per_second.is_none() && self.messages_per_second.is_none()
    }
}

impl Scenario {
    /// The world of this seed.
    pub(crate) fn draw(seed: u64) -> Self {
        let dice = Dice::about(seed, "scenario");
        let is_healthy = dice.percent(15);
        let channels: Vec<_> =
            (0..dice.count(1..=4)).map(|_| draw_channel(&dice, is_healthy || dice.percent(20))).collect();
        let batches = (0..dice.count(1..=16)).map(|_| draw_batch(&dice, channels.len())).collect();
        let drain = dice
            .percent(20)
            .then(|| Drain { at: dice.milliseconds(0..=15_000), grace: dice.milliseconds(0..=60_000) });
        let channel_routes = if dice.percent(10) { dice.count(1..=4) } else { ROOMY };
        Self { seed, channels, batches, drain, channel_routes }
    }

    /// How many routes there are in all.
    pub(crate) fn route_count(&self) -> usize {
        self.batches.iter().map(|batch| batch.routes.len()).sum()
    }

    /// The same world with every provider in order but `channel`'s as it is.
    pub(crate) fn with_healthy_neighbours(&self, channel: usize) -> Self {
        let mut calm = self.clone();
        for (index, spec) in calm.channels.iter_mut().enumerate() {
            if index != channel {
                spec.fault_percent = 0;
                spec.outages.clear();
            }
        }
        calm
    }
}

fn draw_channel(dice: &Dice, is_healthy: bool) -> ChannelSpec {
    let recipients_per_call = dice.pick(&[1, 1, 2, 3, 5, 10]);
    let cost = dice.pick(&[MessageCost::PerRecipient, MessageCost::PerCall]);
    // The promise holds for calls of at most a tenth of the limit.
    let least_messages = 10 * recipients_per_call;
    let budget = |least: usize| {
        dice.percent(40).then(|| u32::try_from(dice.count(least..=least * dice.pick(&[2, 20]))).unwrap())
    };
    let calls_per_second = budget(1);
    let messages_per_second = budget(least_messages);
    let latency_ms = dice.pick(&[0..=0, 1..=50, 5..=500, 100..=3000]);
    let token_lifetime = dice.percent(50).then(|| dice.milliseconds(500..=600_000));
    let mut outages = Vec::new();
    if !is_healthy && dice.percent(35) {
        let from = dice.milliseconds(0..=10_000);
        let fate = match dice.number(0..=3) {
            0 => Fate::NoConnection,
            1 => Fate::Broken { how: Break::Timeout, is_accepted: false },
            2 => Fate::Broken { how: Break::Page(503), is_accepted: false },
            _ => Fate::Broken { how: Break::Reset, is_accepted: true },
        };
        outages.push(Outage { from, to: from + dice.milliseconds(100..=60_000), fate });
    }
    ChannelSpec {
        recipients_per_call,
        cost,
        max_in_flight: u32::try_from(dice.count(1..=dice.pick(&[2, 8, 64]))).unwrap(),
        calls_per_second,
        messages_per_second,
        token_lifetime,
        latency_ms,
        fault_percent: if is_healthy { 0 } else { dice.pick(&[0, 2, 10, 30, 60]) },
        faults: draw_faults(dice),
        refused_percent: dice.pick(&[0, 0, 5, 30]),
        outages,
        planted: BTreeMap::new(),
    }
}

fn draw_faults(dice: &Dice) -> Vec<FaultKind> {
    let mut faults = dice.some(&[
        FaultKind::NoConnection,
        FaultKind::Throttled,
        FaultKind::SafeRefusal,
        FaultKind::FinalRefusal,
        FaultKind::Forbidden,
        FaultKind::Revoked,
        FaultKind::Forgetful,
        FaultKind::Chatty,
        FaultKind::NoToken,
    ]);
    faults.extend(dice.some(&BREAKS).into_iter().filter(|_| dice.percent(60)).map(FaultKind::Break));
    faults
}

fn draw_batch(dice: &Dice, channel_count: usize) -> BatchSpec {
    let route_count = dice.pick(&[1, 1, 1, 2, 3]);
    BatchSpec {
        at: dice.milliseconds(0..=dice.pick(&[1, 1000, 20_000])),
        expires_after: if dice.percent(25) {
            dice.milliseconds(0..=20_000)
        } else {
            Duration::from_secs(3600)
        },
        retry_unknown: if dice.percent(30) { RetryUnknown::Allowed } else { RetryUnknown::Never },
        on_invalid: if dice.percent(5) { OnInvalid::Reject } else { OnInvalid::Skip },
        routes: (0..route_count).map(|_| draw_route(dice, channel_count)).collect(),
        cancel_after: dice.percent(10).then(|| dice.milliseconds(0..=dice.pick(&[100, 10_000]))),
        look_after: dice.milliseconds(0..=dice.pick(&[50, 5000])),
    }
}

fn draw_route(dice: &Dice, channel_count: usize) -> RouteSpec {
    let channel = dice.count(0..=channel_count - 1);
    if dice.percent(4) {
        return RouteSpec { channel, to: Vec::new() };
    }
    let count = dice.count(1..=dice.pick(&[1, 5, 40]));
    let to = (0..count).map(|_| match dice.number(0..=99) {
        0 => String::new(),
        1..=3 => format!("!{}", dice.number(0..=9)),
        // A small town: the same name comes twice now and then.
        _ => format!("u{}", dice.number(0..=200)),
    });
    RouteSpec { channel, to: to.collect() }
}
