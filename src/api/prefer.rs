//! The `Prefer` header (RFC 7240).

use std::time::Duration;

use http::HeaderMap;

/// No answer waits longer: load balancers commonly cut at 30 s.
const MOST_WAIT_SECONDS: u64 = 25;

/// What a caller prefers; a preference that makes no sense is ignored, as the standard asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Preferences {
    /// Seconds to wait for the end of the batch, already capped.
    pub wait_seconds: Option<u64>,
    /// Whether the answer should come at once.
    pub respond_async: bool,
}

impl Preferences {
    /// Reads the header; of a preference given twice the first counts.
    #[must_use]
    pub fn read(headers: &HeaderMap) -> Self {
        let mut found = Self::default();
        let values = headers.get_all("prefer").iter();
        for preference in values.filter_map(|value| value.to_str().ok()).flat_map(|text| text.split(',')) {
            // Parameters after `;` belong to preferences that are not known here.
            let word = preference.split(';').next().unwrap_or_default();
            let (name, value) = word.split_once('=').unwrap_or((word, ""));
            let (name, value) = (name.trim(), value.trim().trim_matches('"'));
            if name.eq_ignore_ascii_case("respond-async") {
                found.respond_async = true;
            } else if name.eq_ignore_ascii_case("wait") && found.wait_seconds.is_none() {
                found.wait_seconds = read_seconds(value);
            }
        }
        found
    }

    /// How long to wait, given what happens without a preference.
    #[must_use]
    pub fn wait(&self, default: Duration) -> Duration {
        let default = if self.respond_async { Duration::ZERO } else { default };
        self.wait_seconds.map_or(default, Duration::from_secs)
    }

    /// How long the turns of other batches may keep this one waiting: half of the time that the caller waits, so
    /// that the other half is left for its own calls. Who does not wait at all is taken however long it takes.
    #[must_use]
    pub fn patience(&self, default: Duration) -> Duration {
        let wait = self.wait(default);
        if wait.is_zero() { Duration::MAX } else { wait / 2 }
    }

    /// The `Preference-Applied` header; `None` = nothing was preferred.
    #[must_use]
    pub fn applied(&self) -> Option<String> {
        let wait = self.wait_seconds.map(|seconds| format!("wait={seconds}"));
        let applied = self.respond_async.then(|| "respond-async".to_owned()).into_iter().chain(wait);
        let applied = applied.collect::<Vec<_>>().join(", ");
        (!applied.is_empty()).then_some(applied)
    }
}

fn read_seconds(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    // A number too long for 64 bits is still a number above the cap.
    is_number.then(|| text.parse().unwrap_or(u64::MAX).min(MOST_WAIT_SECONDS))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(values: &[&str], wait_seconds: Option<u64>, respond_async: bool) {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append("prefer", value.parse().unwrap());
        }
        let expected = Preferences { wait_seconds, respond_async };
        assert_eq!(Preferences::read(&headers), expected, "{values:?}");
    }

    #[test]
    fn reads_what_makes_sense() {
        check(&[], None, false);
        check(&["wait=5"], Some(5), false);
        check(&["Wait = \"7\""], Some(7), false);
        check(&["wait=0, respond-async"], Some(0), true);
        check(&["respond-async; x=1", "wait=3"], Some(3), true);
        check(&["wait=9, wait=2"], Some(9), false);
        check(&["wait=26"], Some(25), false);
        check(&["wait=99999999999999999999999"], Some(25), false);
        check(&["wait=-1"], None, false);
        check(&["wait=1.5, wait"], None, false);
        check(&["return=minimal,,;,=,"], None, false);
    }

    #[test]
    fn says_what_was_applied() {
        let applied = |wait_seconds, respond_async| {
            Preferences { wait_seconds, respond_async }.applied().unwrap_or_default()
        };
        assert_eq!(applied(None, false), "");
        assert_eq!(applied(Some(3), false), "wait=3");
        assert_eq!(applied(None, true), "respond-async");
        assert_eq!(applied(Some(3), true), "respond-async, wait=3");
    }

    #[test]
    fn who_wants_an_answer_at_once_does_not_wait() {
        let wait = |wait_seconds, respond_async| {
            Preferences { wait_seconds, respond_async }.wait(Duration::from_secs(10)).as_secs()
        };
        assert_eq!([wait(None, false), wait(None, true), wait(Some(3), true)], [10, 0, 3]);
    }
}
