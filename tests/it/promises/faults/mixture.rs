//! Random faults everywhere at once, in all five wire formats; a seed that fails is printed and fails again.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{Lane, gateway};
use crate::accounts::ACCOUNTS;
use crate::fake_provider::Response;
use crate::fault_proxy::{Direction, End, Fault, Place};
use crate::harness::TestGateway;
use crate::ledger::{Batch, Carry, Conduct, Named, judge_together};

const SEEDS: u64 = 200;

/// Seeds at work at once: most of their time they wait for timeouts.
const AT_ONCE: usize = 40;

/// Numbers that follow from a seed alone. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", `SplitMix64`.
#[derive(Clone, Debug)]
struct Dice(u64);

impl Dice {
    /// Other numbers for every part of a run, so that no part changes another one's by how often it asks.
    fn of(seed: u64, part: &str, index: usize) -> Self {
        let mut dice = Self(seed);
        for byte in part.bytes().chain(index.to_le_bytes()) {
            dice.0 = dice.0.wrapping_add(u64::from(byte)).wrapping_mul(31);
            dice.next();
        }
        dice
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(most).unwrap()).unwrap()
    }

    /// What breaks on one connection; silence only where there is `patience` for it.
    fn fault(&mut self, patience: Patience) -> Fault {
        let place = match self.below(3) {
            0 => Place::Bytes(self.below(900)),
            1 => Place::Head(self.below(50)),
            _ => Place::BeforeEnd(self.below(60)),
        };
        let direction = if self.below(2) == 0 { Direction::Request } else { Direction::Answer };
        match self.below(20) {
            0..=11 => Fault::None,
            12 => Fault::ResetAtOnce,
            13..=15 => Fault::Break(direction, place, End::Close),
            16 | 17 => Fault::Break(direction, place, End::Reset),
            18 => Fault::Break(direction, place, End::HalfClose),
            _ if patience == Patience::Short => Fault::Break(direction, place, End::Stall),
            _ => Fault::None,
        }
    }

    /// What the provider does with one call.
    fn conduct(&mut self, named: &Named, patience: Patience) -> (Conduct, Carry) {
        let mut refused = named.recipients.clone();
        refused.retain(|_| self.below(6) == 0);
        let page = Response { status: 502, headers: Vec::new(), body: b"<html>".to_vec() };
        let odd = Response { status: 200, headers: Vec::new(), body: b"{\"odd\":1}".to_vec() };
        let conduct = match self.below(20) {
            0..=12 => Conduct::Serve(refused),
            13 => Conduct::Throttle { retry_after: None },
            14 | 15 => Conduct::Busy,
            16 => Conduct::Stale,
            17 => Conduct::TakeAndSay(page),
            18 => Conduct::TakeAndSay(odd),
            _ => Conduct::Say(odd),
        };
        let carry = match self.below(20) {
            0..=12 => Carry::Whole,
            13 | 14 => Carry::ThenClose,
            15 => Carry::Drip,
            16 | 17 => Carry::Cut(self.below(200)),
            18 => Carry::Reset,
            _ if patience == Patience::Short => Carry::Hang,
            _ => Carry::Whole,
        };
        (conduct, carry)
    }
}

/// How long a run waits for answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Patience {
    /// Longer than any machine may need, so that nothing but the script breaks a call.
    Long,
    /// So short that silence can be part of the run; the machine itself may then break a call, too.
    Short,
}

impl Patience {
    /// A tenth of the runs know silence.
    fn of(seed: u64) -> Self {
        if seed % 10 == 9 { Self::Short } else { Self::Long }
    }

    fn settings(self) -> &'static str {
        match self {
            Self::Long => "timeout_ms = 60000",
            Self::Short => "timeout_ms = 400",
        }
    }
}

/// One lane for every provider, with its own faults.
async fn lanes(seed: u64) -> Vec<Lane> {
    let patience = Patience::of(seed);
    let mut lanes = Vec::new();
    for account in ACCOUNTS {
        let provider = account.provider;
        let mut call = 0;
        let plan = Box::new(move |named: &Named| {
            call += 1;
            Dice::of(seed, provider, call).conduct(named, patience)
        });
        let faults =
            Box::new(move |index| Dice::of(seed, &format!("{provider} connection"), index).fault(patience));
        lanes.push(Lane::start(account, &provider.replace('_', "-"), plan, faults).await);
    }
    lanes
}

/// What every lane sends: its batches with their reports.
async fn send_all(seed: u64, lanes: &[Lane], gateway: &TestGateway) -> Vec<Vec<(Batch, Value)>> {
    let mut reports: Vec<Vec<(Batch, Value)>> = lanes.iter().map(|_| Vec::new()).collect();
    for round in 0..3 {
        let mut dice = Dice::of(seed, "batches", round);
        let batches: Vec<_> = lanes
            .iter()
            .map(|lane| {
                let mut batch = lane.batch(&format!("round-{round}"), 1 + dice.below(9));
                batch.accepts_duplicates = dice.below(5) == 0;
                batch
            })
            .collect();
        // All providers at once: what breaks at one must not show at another.
        let [first, second, third, fourth, fifth] = &batches[..] else { panic!("five providers") };
        let sent = tokio::join!(
            lanes[0].send(gateway, first),
            lanes[1].send(gateway, second),
            lanes[2].send(gateway, third),
            lanes[3].send(gateway, fourth),
            lanes[4].send(gateway, fifth),
        );
        let sent: [Value; 5] = sent.into();
        for ((lane, batch), report) in reports.iter_mut().zip(batches).zip(sent) {
            lane.push((batch, report));
        }
    }
    reports
}

async fn run(seed: u64) -> Statuses {
    let mut dice = Dice::of(seed, "settings", 0);
    let (patience, lanes) = (Patience::of(seed), lanes(seed).await);
    let sections = lanes.iter().map(|lane| {
        let more = format!("{}\nmax_in_flight = {}", patience.settings(), 1 + dice.below(4));
        // Half of the runs ask for tokens, over connections that break as well.
        if seed.is_multiple_of(2) {
            lane.section(&more)
        } else {
            lane.section_with(lane.ledger.account.settings, &more)
        }
    });
    let sections: Vec<_> = sections.collect();
    // Circuits that stay closed, that open and stay open, and that open and probe all the time.
    let circuit =
        ["circuit_failures = 1000", "circuit_failures = 3", "circuit_failures = 2\ncircuit_pause_ms = 1"];
    let delivery = format!("[delivery]\nthrottled_max_attempts = 2\n{}\n", circuit[dice.below(3)]);
    let gateway = gateway(std::iter::once(delivery).chain(sections)).await;
    let reports = send_all(seed, &lanes, &gateway).await;
    gateway.leave().await;
    let mut statuses = Statuses::default();
    for (lane, reports) in lanes.iter().zip(&reports) {
        lane.settle().await;
        let broken = lane.proxy.broken() + timeouts(patience, reports);
        judge_together(&format!("seed {seed}: {}", lane.what()), reports, &lane.ledger, broken);
        for (_, report) in reports {
            statuses.add(report);
        }
    }
    statuses
}

/// Recipients of calls that ran out of time, where that may happen.
fn timeouts(patience: Patience, reports: &[(Batch, Value)]) -> usize {
    let results = reports.iter().flat_map(|(_, report)| report["results"].as_array().unwrap());
    let count = results.filter(|result| result["error"]["cause"] == "timeout").count();
    assert!(count == 0 || patience == Patience::Short, "{reports:?}");
    count
}

#[derive(Debug, Default)]
struct Statuses {
    accepted: u64,
    failed: u64,
    unknown: u64,
}

impl Statuses {
    fn add(&mut self, report: &Value) {
        let count = |status: &str| report["counts"][status].as_u64().unwrap();
        self.accepted += count("accepted");
        self.failed += count("failed");
        self.unknown += count("unknown");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_breaks_every_report_is_true() {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let mut runs = JoinSet::new();
    for seed in 0..SEEDS {
        let turns = Arc::clone(&turns);
        runs.spawn(async move {
            let _turn = turns.acquire_owned().await.unwrap();
            run(seed).await
        });
    }
    let mut sum = Statuses::default();
    while let Some(statuses) = runs.join_next().await {
        let statuses = statuses.unwrap();
        sum.accepted += statuses.accepted;
        sum.failed += statuses.failed;
        sum.unknown += statuses.unknown;
    }
    // A mixture in which nothing breaks, or everything, would prove nothing.
    let least = (sum.accepted + sum.failed + sum.unknown) / 20;
    assert!(sum.accepted > least && sum.failed > least && sum.unknown > least, "{sum:?}");
}
