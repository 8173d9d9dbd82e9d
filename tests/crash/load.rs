//! What the callers do: sends of all kinds, repeats of keys, resends and cancels, one request at a time each.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::accounts::ACCOUNTS;
use crate::client::Heard;
use crate::dice::Dice;
use crate::record::{Line, Recipient, What};
use crate::rig::Rig;
use crate::told::Status;
use crate::witness::channel_name;

/// Recipients of one channel have numbers of their own, so that a recipient of a batch names his channel.
const NUMBERS_PER_CHANNEL: usize = 100_000;

/// Starts so many callers; each ends when the rig says so and its last answer is there.
pub(crate) fn start(rig: &Arc<Rig>, count: usize) -> JoinSet<()> {
    let mut callers = JoinSet::new();
    for caller in 0..count {
        let rig = Arc::clone(rig);
        let dice = Dice::about(rig.seed, &format!("caller {caller}"));
        // Apart, since how often it is asked for a gateway is no choice.
        let ways = Dice::about(rig.seed, &format!("ways of caller {caller}"));
        callers.spawn(async move {
            while !rig.is_enough.is_cancelled() {
                let number = choose(&rig, &dice);
                perform(&rig, number, &ways).await;
                tokio::time::sleep(dice.milliseconds(0..=40)).await;
            }
        });
    }
    callers
}

/// What is wanted next; written down if it is new.
fn choose(rig: &Rig, dice: &Dice) -> usize {
    let is_send = |line: &Line| matches!(line.what, What::Send { .. });
    let record = &rig.record;
    let chosen = match dice.number(1..=10) {
        // The same again, whether or not it was answered.
        1 => record.pick(dice, |line| line.key.is_some()),
        2 | 3 => {
            let failed = record.pick(dice, |line| is_send(line) && line.heard().any(has_failures));
            // What is canceled is not sent again: no later call of it would be right.
            failed.filter(|of| !record.is_canceled(*of)).map(|of| {
                let parent = record.line(of);
                record.intend(|number| resend(&parent, number, dice))
            })
        }
        4 => record.pick(dice, |line| is_send(line) && line.heard().any(|heard| heard.status == 202)).map(
            |of| {
                let parent = record.line(of);
                record.intend(|_| cancel(&parent, of))
            },
        ),
        _ => None,
    };
    chosen.unwrap_or_else(|| record.intend(|number| send(&rig.receiver.url(), number, dice)))
}

fn has_failures(heard: &Heard) -> bool {
    heard.results().is_some_and(|results| results.iter().any(|told| told.status == Status::Failed))
}

/// Asks until there is an answer, where asking again is safe; otherwise once.
async fn perform(rig: &Rig, number: usize, ways: &Dice) {
    /// How soon a caller comes back that was told to come later, or not told at all.
    const LATER: Duration = Duration::from_millis(100);
    let line = rig.record.line(number);
    let is_repeatable = line.key.is_some() || matches!(line.what, What::Cancel { .. });
    let mut headers = Vec::new();
    headers.extend(line.key.clone().map(|key| ("idempotency-key", key)));
    headers.extend(line.prefer.map(|prefer| ("prefer", prefer.to_owned())));
    loop {
        let up = rig.up(ways).await;
        let attempt = rig.record.begin_try(number, up.life);
        rig.asked.notify_waiters();
        let heard = rig.client.post(up.address, &line.path, &line.body, &headers).await;
        let status = heard.as_ref().map(|heard| heard.status);
        rig.record.note(number, attempt, rig.times.lives.newest(), heard);
        match status {
            Some(503) | None if is_repeatable => tokio::time::sleep(LATER).await,
            Some(_) => return rig.answered.notify_waiters(),
            None => return,
        }
    }
}

fn send(receiver: &str, number: usize, dice: &Dice) -> Line {
    let marker = format!("batch {number}");
    let channels: Vec<usize> = match dice.number(1..=10) {
        1..=7 => vec![dice.count(0..=ACCOUNTS.len() - 1)],
        _ => dice.some(&(0..ACCOUNTS.len()).collect::<Vec<_>>()),
    };
    let most = match dice.number(1..=200) {
        1..=140 => dice.count(1..=10),
        141..=198 => dice.count(20..=80),
        _ => dice.count(1001..=1200),
    };
    let share = most.div_ceil(channels.len());
    let first = dice.count(0..=50_000);
    let numbers =
        |channel: usize| (0..share).map(move |place| channel * NUMBERS_PER_CHANNEL + 1 + first + place);
    let routes = channels.iter().map(|channel| {
        let to: Vec<String> = numbers(*channel).map(|number| number.to_string()).collect();
        json!({"channel": channel_name(*channel), "from": ACCOUNTS[*channel].sender, "to": to})
    });
    let routes: Vec<Value> = routes.collect();
    let message = json!({"type": "text", "text": marker});
    let recipients = |channel: usize| numbers(channel).map(move |number| (channel, number.to_string()));
    let to: Vec<Recipient> = channels.iter().flat_map(|channel| recipients(*channel)).collect();
    let has_callback = dice.percent(25);
    let mut body = json!({"client_ref": marker, "message": message, "routes": routes});
    if has_callback {
        body["options"] = json!({"callback": {"url": receiver}});
    }
    Line {
        what: What::Send { to },
        path: "/v1/batches".into(),
        body: body.to_string(),
        key: dice.percent(60).then(|| format!("key-{number}")),
        has_callback,
        prefer: dice.pick(&[None, None, Some("wait=1"), Some("wait=0"), Some("respond-async")]),
        marker,
        tries: Vec::new(),
    }
}

fn resend(parent: &Line, number: usize, dice: &Dice) -> Line {
    Line {
        what: What::Resend,
        marker: parent.marker.clone(),
        path: format!("/v1/batches/{}/resend", parent.batch().unwrap()),
        body: "{}".into(),
        has_callback: false,
        key: dice.percent(60).then(|| format!("key-{number}")),
        prefer: dice.pick(&[None, Some("wait=0"), Some("respond-async")]),
        tries: Vec::new(),
    }
}

fn cancel(parent: &Line, of: usize) -> Line {
    Line {
        what: What::Cancel { of },
        marker: parent.marker.clone(),
        path: format!("/v1/batches/{}/cancel", parent.batch().unwrap()),
        body: String::new(),
        has_callback: false,
        key: None,
        prefer: Some("wait=1"),
        tries: Vec::new(),
    }
}
