//! How far this machine's clock is from a provider's, going by the `Date` of an answer.

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::DATE;
use jiff::fmt::rfc2822::DateTimeParser;

/// More than this is worth a warning: signatures carry times, and clocks that run apart go on doing so.
const WORTH_A_WARNING: Duration = Duration::from_secs(30);

/// More than this is a clock that nobody sets: on the way out of the windows that providers allow signatures.
///
/// Source: Volcengine RTC, error `InvalidTimestamp` (15 minutes, none in the future), read 2026-11-21.
const TOO_MUCH: Duration = Duration::from_secs(300);

/// `Date` has whole seconds: the answer was made within one after it.
const RESOLUTION: Duration = Duration::from_secs(1);

/// What the clocks say of each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ClockSkew {
    /// The answer has no `Date` that can be read.
    NotTold,
    /// At least so much apart.
    Known {
        /// How much: zero if both may show the same time.
        apart: Duration,
        /// Which way.
        direction: Direction,
    },
}

/// Where this machine's clock is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    Ahead,
    Behind,
}

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Verdict {
    Fine,
    Doubtful,
    Unusable,
}

impl ClockSkew {
    /// Compares the `Date` of an answer with the times, by our clock, between which it was made.
    pub(super) fn of(headers: &HeaderMap, asked_at: SystemTime, answered_at: SystemTime) -> Self {
        let Some(date) = headers.get(DATE).and_then(|value| parse(value.to_str().ok()?)) else {
            return Self::NotTold;
        };
        // Only what the time on the way cannot explain counts.
        match date.duration_since(answered_at) {
            Ok(apart) => Self::Known { apart, direction: Direction::Behind },
            Err(_) => {
                let apart = asked_at.duration_since(date + RESOLUTION).unwrap_or_default();
                Self::Known { apart, direction: Direction::Ahead }
            }
        }
    }

    pub(super) const fn verdict(self) -> Verdict {
        match self {
            Self::NotTold => Verdict::Fine,
            Self::Known { apart, .. } if apart.as_nanos() > TOO_MUCH.as_nanos() => Verdict::Unusable,
            Self::Known { apart, .. } if apart.as_nanos() > WORTH_A_WARNING.as_nanos() => Verdict::Doubtful,
            Self::Known { .. } => Verdict::Fine,
        }
    }
}

impl std::fmt::Display for ClockSkew {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotTold => formatter.write_str("clock not compared, the answer has no date"),
            Self::Known { apart, .. } if apart.as_secs() == 0 => formatter.write_str("clocks agree"),
            Self::Known { apart, direction } => {
                let direction = match direction {
                    Direction::Ahead => "ahead of",
                    Direction::Behind => "behind",
                };
                write!(formatter, "this clock is {} s {direction} the provider's", apart.as_secs())
            }
        }
    }
}

/// Reads an HTTP date in the form that servers must send (RFC 9110, section 5.6.7).
fn parse(text: &str) -> Option<SystemTime> {
    const PARSER: DateTimeParser = DateTimeParser::new();
    PARSER.parse_timestamp(text).ok().map(SystemTime::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    /// Sat, 21 Nov 2026 08:00:00 GMT
    const MADE_AT: u64 = 1_795_248_000;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[track_caller]
    fn check(date: &str, asked: u64, answered: u64, expected: (&str, Verdict)) {
        let mut headers = HeaderMap::new();
        headers.insert(DATE, HeaderValue::from_str(date).unwrap());
        let skew = ClockSkew::of(&headers, at(asked), at(answered));
        assert_eq!((skew.to_string().as_str(), skew.verdict()), expected);
    }

    const DATE_TEXT: &str = "Sat, 21 Nov 2026 08:00:00 GMT";

    #[test]
    fn time_on_the_way_is_not_skew() {
        check(DATE_TEXT, MADE_AT, MADE_AT, ("clocks agree", Verdict::Fine));
        check(DATE_TEXT, MADE_AT - 40, MADE_AT + 40, ("clocks agree", Verdict::Fine));
        check(DATE_TEXT, MADE_AT + 1, MADE_AT + 2, ("clocks agree", Verdict::Fine));
    }

    #[test]
    fn warns_above_30_seconds_and_fails_above_300() {
        let ahead = |seconds| format!("this clock is {seconds} s ahead of the provider's");
        let behind = |seconds| format!("this clock is {seconds} s behind the provider's");
        check(DATE_TEXT, MADE_AT + 31, MADE_AT + 31, (&ahead(30), Verdict::Fine));
        check(DATE_TEXT, MADE_AT + 32, MADE_AT + 32, (&ahead(31), Verdict::Doubtful));
        check(DATE_TEXT, MADE_AT + 301, MADE_AT + 301, (&ahead(300), Verdict::Doubtful));
        check(DATE_TEXT, MADE_AT + 302, MADE_AT + 302, (&ahead(301), Verdict::Unusable));
        check(DATE_TEXT, MADE_AT - 30, MADE_AT - 30, (&behind(30), Verdict::Fine));
        check(DATE_TEXT, MADE_AT - 31, MADE_AT - 31, (&behind(31), Verdict::Doubtful));
        check(DATE_TEXT, MADE_AT - 301, MADE_AT - 301, (&behind(301), Verdict::Unusable));
    }

    #[test]
    fn a_date_that_cannot_be_read_says_nothing() {
        check("yesterday", MADE_AT, MADE_AT, ("clock not compared, the answer has no date", Verdict::Fine));
        assert_eq!(ClockSkew::of(&HeaderMap::new(), at(MADE_AT), at(MADE_AT)), ClockSkew::NotTold);
    }
}
