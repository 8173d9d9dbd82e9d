//! One line on a terminal that says how far a batch is.

use std::io::{self, Write};

use serde::Deserialize;
use tokio::time::Instant;

use crate::api::report::text::printable;

/// Back to the beginning of the line, which is emptied.
const CLEAR: &str = "\r\x1b[K";

/// The part of a report that is shown.
#[derive(Debug, Deserialize)]
struct Seen {
    counts: Counts,
    eta: Option<Eta>,
}

#[derive(Debug, Deserialize)]
struct Counts {
    total: u32,
    accepted: u32,
    failed: u32,
    unknown: u32,
}

#[derive(Debug, Deserialize)]
struct Eta {
    seconds: f64,
    bound_by: Option<Bound>,
}

#[derive(Debug, Deserialize)]
struct Bound {
    channel: String,
    budget: String,
}

impl Counts {
    const fn decided(&self) -> u32 {
        self.accepted.saturating_add(self.failed).saturating_add(self.unknown)
    }
}

/// What was shown last.
#[derive(Debug, Default)]
pub(super) struct Progress {
    last: Option<(Instant, u32)>,
}

impl Progress {
    /// Shows a report, if it is one; the rate is that since the last one.
    pub(super) fn show(&mut self, report: &[u8], errors: &mut dyn Write) -> io::Result<()> {
        let Ok(seen) = serde_json::from_slice::<Seen>(report) else { return Ok(()) };
        let decided = seen.counts.decided();
        let rate = self.last.map(|(then, before)| {
            let seconds = then.elapsed().as_secs_f64().max(0.001);
            f64::from(decided.saturating_sub(before)) / seconds
        });
        self.last = Some((Instant::now(), decided));
        write!(errors, "{CLEAR}{}", line(&seen, rate))?;
        errors.flush()
    }

    /// Takes the line away.
    pub(super) fn clear(&self, errors: &mut dyn Write) -> io::Result<()> {
        if self.last.is_none() {
            return Ok(());
        }
        write!(errors, "{CLEAR}")?;
        errors.flush()
    }
}

fn line(seen: &Seen, rate: Option<f64>) -> String {
    let Counts { total, accepted, failed, unknown } = seen.counts;
    let mut text = format!("{} of {total}: {accepted} accepted", seen.counts.decided());
    for (count, word) in [(failed, "failed"), (unknown, "unknown")] {
        if count > 0 {
            text.push_str(&format!(", {count} {word}"));
        }
    }
    if let Some(rate) = rate {
        text.push_str(&format!("; {rate:.0}/s"));
    }
    if let Some(eta) = &seen.eta {
        text.push_str(&format!("; {:.0} s left", eta.seconds));
        if let Some(bound) = &eta.bound_by {
            text.push_str(&format!(" ({}, {})", printable(&bound.channel), printable(&bound.budget)));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(accepted: u32, failed: u32, eta: &str) -> Vec<u8> {
        format!(
            r#"{{"id":"bat_1","counts":{{"total":9000,"accepted":{accepted},"failed":{failed},"unknown":0,"pending":1}}{eta}}}"#
        )
        .into_bytes()
    }

    #[tokio::test(start_paused = true)]
    async fn shows_counts_rate_and_what_is_left() {
        let (mut progress, mut shown) = (Progress::default(), Vec::new());
        progress.clear(&mut shown).unwrap();
        progress.show(b"no report", &mut shown).unwrap();
        assert_eq!(shown, b"");
        progress.show(&report(1000, 0, ""), &mut shown).unwrap();
        tokio::time::advance(Duration::from_secs(2)).await;
        let eta = r#","eta":{"seconds":7.6,"bound_by":{"channel":"tim\u001b","budget":"messages"}}"#;
        progress.show(&report(2000, 10, eta), &mut shown).unwrap();
        progress.clear(&mut shown).unwrap();
        let expected = "\r\x1b[K1000 of 9000: 1000 accepted\
                        \r\x1b[K2010 of 9000: 2000 accepted, 10 failed; 505/s; 8 s left (tim\u{fffd}, messages)\r\x1b[K";
        assert_eq!(String::from_utf8(shown).unwrap(), expected);
    }
}
