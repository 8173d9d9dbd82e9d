//! Decides what follows from one try of a call: the only place where something is sent again.
//!
//! Pure. The phase in which a call broke decides, not its status alone.

use std::time::Duration;

use crate::adapter::{Answer, Repeat, Verdict};
use crate::dispatch::circuit::Signal;
use crate::dispatch::clock::fraction;
use crate::dispatch::settings::Settings;
use crate::domain::batch::RetryUnknown;
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::outcome::{Outcome, Outcomes, OutcomesBuilder};
use crate::domain::report::Warning;

/// What one try came to.
#[derive(Debug)]
pub enum Try {
    /// Nothing was written to the provider.
    Unsent {
        /// Why.
        failure: Failure,
        /// Whether it may pass: a connection that failed, not a credential that is wrong.
        may_pass: bool,
    },
    /// Something may have been written, and no usable answer came back.
    Lost(Failure),
    /// The provider answered.
    Answered(Answer),
}

impl Try {
    /// The failure that stands if the call is not tried again; `None` if somebody was served.
    #[must_use]
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Unsent { failure, .. } | Self::Lost(failure) => Some(failure),
            Self::Answered(answer) => match &answer.verdict {
                Verdict::Refused { failure, .. } | Verdict::Undecided(failure) => Some(failure),
                Verdict::Answered(_) | Verdict::Listed(_) => None,
            },
        }
    }

    /// What it says about the provider: a refusal is an answer, a fault of ours says nothing.
    #[must_use]
    pub fn signal(&self) -> Signal {
        match self {
            Self::Unsent { may_pass: false, .. } => Signal::Nothing,
            Self::Lost(failure) if failure.kind == FailureKind::Internal => Signal::Nothing,
            Self::Unsent { may_pass: true, .. } | Self::Lost(_) => Signal::Silent,
            Self::Answered(answer) => match &answer.verdict {
                Verdict::Undecided(_) => Signal::Silent,
                Verdict::Answered(_) | Verdict::Listed(_) | Verdict::Refused { .. } => Signal::Answered,
            },
        }
    }
}

/// What is known about a call before the next decision.
#[derive(Debug, Default)]
pub struct Tries {
    /// How often the call was sent or tried to be sent.
    pub made: u32,
    /// Whether the credential was renewed for it already.
    pub has_renewed: bool,
    /// The first try that may have been delivered: from then on nothing is certainly undelivered.
    pub maybe_delivered: Option<Failure>,
}

impl Tries {
    /// Those of a call that was out when its process died.
    #[must_use]
    pub fn after_loss(failure: Failure) -> Self {
        Self { made: 1, has_renewed: false, maybe_delivered: Some(failure) }
    }
}

/// What follows.
#[derive(Debug)]
pub enum Step {
    /// The call is decided.
    Settle(Settlement),
    /// The same call is sent again.
    Again {
        /// After this long.
        after: Duration,
        /// Why.
        reason: Reason,
    },
}

/// Why a call is sent again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It found no provider, or the provider could not serve it.
    Broken,
    /// The provider refused it for its rate, so that the channel slows down too.
    Throttled,
    /// The provider refused the credential, so that the next try needs a new token or signature.
    Refused,
}

/// A decided call.
#[derive(Debug)]
pub struct Settlement {
    /// What became of its recipients.
    pub decision: Decision,
    /// The failure that the route's calls not yet started get as well.
    pub ends_route: Option<Failure>,
    /// How long the provider wants no call, although this one is not sent again.
    pub hold: Option<Duration>,
    /// The provider's id of the request.
    pub request_id: Option<Box<str>>,
    /// What looked odd.
    pub warnings: Vec<Warning>,
}

/// What became of the recipients of a call.
#[derive(Debug)]
pub enum Decision {
    /// The same for everybody.
    Same(Outcome),
    /// One outcome per recipient, in the call's order.
    Each(Outcomes),
    /// The answer says who they were.
    Listed(Vec<(Box<str>, Outcome)>),
}

/// What a repeat may do.
#[derive(Clone, Copy, Debug)]
pub struct Rules<'a> {
    /// Bounds.
    pub settings: &'a Settings,
    /// Whether the caller accepts duplicates.
    pub retry_unknown: RetryUnknown,
    /// Whether a repeat is possible at all; send-to-all is never repeated.
    pub is_repeatable: bool,
    /// A random number for the jitter.
    pub jitter: u64,
}

/// Decides about a call whose last try is already counted in `tries`.
#[must_use]
pub fn next(result: Try, tries: &mut Tries, rules: Rules<'_>) -> Step {
    match result {
        Try::Unsent { failure, may_pass } => {
            if may_pass && rules.may_repeat(tries.made, rules.settings.max_attempts) {
                return rules.again(tries.made);
            }
            let ends_route = (!may_pass && ends_route(failure.kind)).then(|| failure.clone());
            settle(Decision::Same(Outcome::failed(failure)), ends_route, tries)
        }
        Try::Lost(failure) => undecided(failure, tries, rules),
        Try::Answered(answer) => {
            let Answer { verdict, request_id, warnings } = answer;
            match answered(verdict, tries, rules) {
                Step::Settle(settlement) => Step::Settle(Settlement { request_id, warnings, ..settlement }),
                again @ Step::Again { .. } => again,
            }
        }
    }
}

fn answered(verdict: Verdict, tries: &mut Tries, rules: Rules<'_>) -> Step {
    match verdict {
        Verdict::Answered(outcomes) => settle(Decision::Each(outcomes), None, tries),
        Verdict::Listed(listed) => settle(Decision::Listed(listed), None, tries),
        Verdict::Undecided(failure) => undecided(failure, tries, rules),
        Verdict::Refused { failure, repeat, retry_after } => match repeat {
            Repeat::Safe if failure.kind == FailureKind::RateLimited => {
                let after = rules.throttled_pause(tries.made, retry_after);
                if rules.may_repeat(tries.made, rules.settings.throttled_max_attempts) {
                    return Step::Again { after, reason: Reason::Throttled };
                }
                match settle(Decision::Same(Outcome::failed(failure)), None, tries) {
                    Step::Settle(settled) => Step::Settle(Settlement { hold: Some(after), ..settled }),
                    again @ Step::Again { .. } => again,
                }
            }
            Repeat::Safe if rules.may_repeat(tries.made, rules.settings.max_attempts) => {
                let after = rules.backoff(tries.made).max(retry_after.unwrap_or_default());
                Step::Again { after, reason: Reason::Broken }
            }
            Repeat::WithNewToken if !tries.has_renewed && rules.is_repeatable => {
                tries.has_renewed = true;
                Step::Again { after: Duration::ZERO, reason: Reason::Refused }
            }
            Repeat::EndsRoute | Repeat::WithNewToken => {
                settle(Decision::Same(Outcome::failed(failure.clone())), Some(failure), tries)
            }
            Repeat::Safe | Repeat::Never => settle(Decision::Same(Outcome::failed(failure)), None, tries),
        },
    }
}

/// A call that may have been delivered is sent again only when the caller accepts duplicates.
fn undecided(failure: Failure, tries: &mut Tries, rules: Rules<'_>) -> Step {
    let first = tries.maybe_delivered.get_or_insert(failure).clone();
    if rules.retry_unknown == RetryUnknown::Allowed
        && rules.may_repeat(tries.made, rules.settings.max_attempts)
    {
        return rules.again(tries.made);
    }
    settle(Decision::Same(Outcome::unknown(first)), None, tries)
}

/// What a call comes to that is not tried again although it could be; `last` is the failure of its last try, or
/// why it was never tried.
#[must_use]
pub fn unrepeated(last: Option<Failure>, tries: &Tries) -> Settlement {
    // Without a failure there would have been nothing to repeat.
    let last = last.unwrap_or_else(|| Failure::gateway(FailureKind::Internal));
    let decision = match &tries.maybe_delivered {
        Some(earlier) => Outcome::unknown(earlier.clone()),
        None => Outcome::failed(last),
    };
    Settlement {
        decision: Decision::Same(decision),
        ends_route: None,
        hold: None,
        request_id: None,
        warnings: Vec::new(),
    }
}

fn settle(decision: Decision, ends_route: Option<Failure>, tries: &Tries) -> Step {
    let decision = match &tries.maybe_delivered {
        Some(earlier) => soften(decision, earlier),
        None => decision,
    };
    Step::Settle(Settlement { decision, ends_route, hold: None, request_id: None, warnings: Vec::new() })
}

/// After a try that may have been delivered, a later failure proves nothing: it is unknown.
fn soften(decision: Decision, earlier: &Failure) -> Decision {
    let soft = |outcome: &Outcome| match outcome {
        Outcome::Failed(_) => Outcome::unknown(earlier.clone()),
        Outcome::Accepted(_) | Outcome::Unknown(_) => outcome.clone(),
    };
    match decision {
        Decision::Same(outcome) => Decision::Same(soft(&outcome)),
        Decision::Each(outcomes) => {
            let mut builder = OutcomesBuilder::new(Outcome::unknown(earlier.clone()), outcomes.len());
            for (offset, outcome) in outcomes.iter().enumerate() {
                builder.set(offset, soft(outcome));
            }
            Decision::Each(builder.build())
        }
        Decision::Listed(listed) => {
            Decision::Listed(listed.into_iter().map(|(id, outcome)| (id, soft(&outcome))).collect())
        }
    }
}

/// Whether a credential's refusal will meet the route's other calls as well.
fn ends_route(kind: FailureKind) -> bool {
    matches!(kind, FailureKind::Authentication | FailureKind::Permission | FailureKind::InvalidRequest)
}

impl Rules<'_> {
    const fn may_repeat(&self, made: u32, most: u32) -> bool {
        self.is_repeatable && made < most
    }

    /// Exponential back-off with full jitter: anything from nothing to the whole step.
    fn backoff(&self, made: u32) -> Duration {
        self.step(self.settings.backoff_base, made).mul_f64(fraction(self.jitter))
    }

    fn again(&self, made: u32) -> Step {
        Step::Again { after: self.backoff(made), reason: Reason::Broken }
    }

    /// The server's word or the step is the least; jitter only adds, up to a half.
    fn throttled_pause(&self, made: u32, retry_after: Option<Duration>) -> Duration {
        let least = retry_after.unwrap_or_else(|| self.step(self.settings.throttled_backoff_base, made));
        let added = least.min(self.settings.backoff_cap).mul_f64(fraction(self.jitter) / 2.0);
        least + added
    }

    fn step(&self, base: Duration, made: u32) -> Duration {
        base.saturating_mul(1 << made.saturating_sub(1).min(16)).min(self.settings.backoff_cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::failure::Cause;
    use crate::domain::outcome::{Acceptance, Evidence};

    fn accepted() -> Outcome {
        let evidence = Evidence::Explicit;
        Outcome::Accepted(Acceptance { evidence, message_id: None, provider_fields: None })
    }

    fn refused(kind: FailureKind, repeat: Repeat) -> Try {
        let failure = Failure::provider(kind);
        Try::Answered(Verdict::Refused { failure, repeat, retry_after: None }.into())
    }

    fn lost() -> Try {
        Try::Lost(Failure::transport(FailureKind::ProviderUnavailable, Cause::Timeout))
    }

    fn connect() -> Try {
        let failure = Failure::transport(FailureKind::ProviderUnavailable, Cause::Connect);
        Try::Unsent { failure, may_pass: true }
    }

    /// Plays `results` until the call is settled; the final status, the tries made, and whether it ended the route.
    fn play(results: Vec<Try>, retry_unknown: RetryUnknown) -> (&'static str, u32, bool) {
        let settings = Settings::for_tests();
        let mut tries = Tries::default();
        for result in results {
            tries.made += 1;
            let rules = Rules { settings: &settings, retry_unknown, is_repeatable: true, jitter: u64::MAX };
            if let Step::Settle(settlement) = next(result, &mut tries, rules) {
                let status = match settlement.decision {
                    Decision::Same(Outcome::Accepted(_)) | Decision::Listed(_) => "accepted",
                    Decision::Same(Outcome::Failed(_)) => "failed",
                    Decision::Same(Outcome::Unknown(_)) => "unknown",
                    Decision::Each(outcomes) => match outcomes.get(0) {
                        Some(Outcome::Accepted(_)) => "accepted",
                        Some(Outcome::Failed(_)) => "failed",
                        _ => "unknown",
                    },
                };
                return (status, tries.made, settlement.ends_route.is_some());
            }
        }
        ("open", tries.made, false)
    }

    fn check(results: Vec<Try>, expected: (&str, u32, bool)) {
        assert_eq!(play(results, RetryUnknown::Never), expected);
    }

    fn answer(outcome: Outcome) -> Try {
        Try::Answered(Verdict::Answered(Outcomes::same(outcome, 1)).into())
    }

    #[test]
    fn what_was_never_written_is_repeated_within_bounds() {
        check(vec![connect(), connect(), connect(), connect()], ("failed", 3, false));
        check(vec![connect(), answer(accepted())], ("accepted", 2, false));
    }

    #[test]
    fn what_may_have_been_delivered_is_never_repeated() {
        check(vec![lost(), answer(accepted())], ("unknown", 1, false));
        let undecided = Verdict::Undecided(Failure::provider(FailureKind::ProviderUnavailable));
        check(vec![Try::Answered(undecided.into())], ("unknown", 1, false));
    }

    #[test]
    fn a_caller_who_accepts_duplicates_gets_repeats_and_no_false_failure() {
        let play = |results| play(results, RetryUnknown::Allowed);
        assert_eq!(play(vec![lost(), answer(accepted())]), ("accepted", 2, false));
        assert_eq!(play(vec![lost(), lost(), lost()]), ("unknown", 3, false));
        let failed = Outcome::failed(Failure::provider(FailureKind::InvalidRecipient));
        assert_eq!(play(vec![lost(), answer(failed)]), ("unknown", 2, false));
        assert_eq!(play(vec![lost(), connect(), connect()]), ("unknown", 3, false));
        assert_eq!(
            play(vec![lost(), refused(FailureKind::InvalidRequest, Repeat::Never)]),
            ("unknown", 2, false)
        );
    }

    #[test]
    fn refusals_follow_their_repeat_rule() {
        let throttled = || refused(FailureKind::RateLimited, Repeat::Safe);
        check(vec![throttled(), throttled(), throttled(), throttled()], ("failed", 4, false));
        let busy = || refused(FailureKind::ProviderUnavailable, Repeat::Safe);
        check(vec![busy(), busy(), busy()], ("failed", 3, false));
        let expired = || refused(FailureKind::Authentication, Repeat::WithNewToken);
        check(vec![expired(), expired()], ("failed", 2, true));
        check(vec![expired(), answer(accepted())], ("accepted", 2, false));
        check(vec![refused(FailureKind::Permission, Repeat::EndsRoute)], ("failed", 1, true));
        check(vec![refused(FailureKind::InvalidRequest, Repeat::Never)], ("failed", 1, false));
    }

    #[test]
    fn send_to_all_is_never_repeated() {
        let settings = Settings::for_tests();
        for result in [connect(), lost(), refused(FailureKind::Authentication, Repeat::WithNewToken)] {
            let mut tries = Tries { made: 1, ..Tries::default() };
            let retry_unknown = RetryUnknown::Allowed;
            let rules = Rules { settings: &settings, retry_unknown, is_repeatable: false, jitter: 0 };
            assert!(matches!(next(result, &mut tries, rules), Step::Settle(_)));
        }
    }

    #[test]
    fn throttled_calls_wait_at_least_as_long_as_the_provider_says() {
        let settings = Settings::for_tests();
        for (retry_after, made, least, most) in
            [(Some(7), 1, 7.0, 10.5), (None, 1, 1.0, 1.5), (None, 3, 4.0, 6.0)]
        {
            for jitter in [0, u64::MAX / 2, u64::MAX] {
                let failure = Failure::provider(FailureKind::RateLimited);
                let retry_after = retry_after.map(Duration::from_secs);
                let verdict = Verdict::Refused { failure, repeat: Repeat::Safe, retry_after };
                let mut tries = Tries { made, ..Tries::default() };
                let retry_unknown = RetryUnknown::Never;
                let rules = Rules { settings: &settings, retry_unknown, is_repeatable: true, jitter };
                let Step::Again { after, .. } = next(Try::Answered(verdict.into()), &mut tries, rules) else {
                    panic!("settled");
                };
                assert!((least..=most).contains(&after.as_secs_f64()), "{after:?}");
            }
        }
    }

    #[test]
    fn a_throttled_call_that_is_given_up_leaves_its_pause_to_the_others() {
        let settings = Settings::for_tests();
        let failure = Failure::provider(FailureKind::RateLimited);
        let retry_after = Some(Duration::from_secs(7));
        let verdict = Verdict::Refused { failure, repeat: Repeat::Safe, retry_after };
        let mut tries = Tries { made: settings.throttled_max_attempts, ..Tries::default() };
        let retry_unknown = RetryUnknown::Never;
        let rules = Rules { settings: &settings, retry_unknown, is_repeatable: true, jitter: 0 };
        let Step::Settle(settlement) = next(Try::Answered(verdict.into()), &mut tries, rules) else {
            panic!("repeated");
        };
        assert_eq!(settlement.hold, retry_after);
    }
}
