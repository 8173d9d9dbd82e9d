//! The closed lists whose members are label values.

use crate::telemetry::metrics::labels::Word;

/// How one provider call went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallResult {
    /// The provider decided about every recipient.
    Answered,
    /// It refused the whole call.
    Refused,
    /// It refused the whole call for its rate.
    RateLimited,
    /// It refused the credential or the signature's time.
    Authentication,
    /// It answered that the call may or may not have been processed.
    Undecided,
    /// There was no connection; nothing was written.
    Connect,
    /// No answer came in time.
    Timeout,
    /// The connection broke.
    ConnectionReset,
    /// It answered with a bare 5xx or 408.
    ServerError,
    /// It answered something that cannot be used.
    UnreadableAnswer,
    /// A fault of ours while the call was out.
    Internal,
}

impl CallResult {
    /// The label's value, also that of the call's span.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Refused => "refused",
            Self::RateLimited => "rate_limited",
            Self::Authentication => "authentication",
            Self::Undecided => "undecided",
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::ConnectionReset => "connection_reset",
            Self::ServerError => "server_error",
            Self::UnreadableAnswer => "unreadable_answer",
            Self::Internal => "internal",
        }
    }
}

impl Word for CallResult {
    const ALL: &'static [Self] = &[
        Self::Answered,
        Self::Refused,
        Self::RateLimited,
        Self::Authentication,
        Self::Undecided,
        Self::Connect,
        Self::Timeout,
        Self::ConnectionReset,
        Self::ServerError,
        Self::UnreadableAnswer,
        Self::Internal,
    ];

    fn word(self) -> &'static str {
        self.as_str()
    }
}

/// Why a call is sent again, or would have been.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepeatReason {
    /// It found no provider, or the provider could not serve it.
    Broken,
    /// The provider refused it for its rate.
    RateLimited,
    /// The provider refused the credential.
    Credential,
    /// None of these: it was not sent again, because the channel's repeats were used up or its circuit was open.
    Denied,
}

impl Word for RepeatReason {
    const ALL: &'static [Self] = &[Self::Broken, Self::RateLimited, Self::Credential, Self::Denied];

    fn word(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::RateLimited => "rate_limited",
            Self::Credential => "credential",
            Self::Denied => "denied",
        }
    }
}

/// What became of a new configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReloadResult {
    /// It serves.
    Applied,
    /// It has faults, and everything stayed as it was.
    Refused,
}

impl Word for ReloadResult {
    const ALL: &'static [Self] = &[Self::Applied, Self::Refused];

    fn word(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

/// The state of a circuit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CircuitState {
    /// Calls go out.
    Closed,
    /// Calls fail at once.
    Open,
    /// One call tries.
    HalfOpen,
}

impl Word for CircuitState {
    const ALL: &'static [Self] = &[Self::Closed, Self::Open, Self::HalfOpen];

    fn word(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }
}

/// How a request for a token went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenResult {
    /// There is a new one.
    Fetched,
    /// There is none.
    Failed,
}

impl Word for TokenResult {
    const ALL: &'static [Self] = &[Self::Fetched, Self::Failed];

    fn word(self) -> &'static str {
        match self {
            Self::Fetched => "fetched",
            Self::Failed => "failed",
        }
    }
}

/// How a batch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchOutcome {
    /// Everybody was accepted.
    AllAccepted,
    /// Some were.
    Partial,
    /// Nobody was.
    NoneAccepted,
}

impl Word for BatchOutcome {
    const ALL: &'static [Self] = &[Self::AllAccepted, Self::Partial, Self::NoneAccepted];

    fn word(self) -> &'static str {
        match self {
            Self::AllAccepted => "all_accepted",
            Self::Partial => "partial",
            Self::NoneAccepted => "none_accepted",
        }
    }
}

/// What must never happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Violation {
    /// A batch ended with recipients that nobody had decided about.
    UndecidedRecipients,
    /// An adapter's outcomes did not match its call.
    MismatchedOutcomes,
    /// An adapter panicked.
    AdapterPanic,
    /// A request to the API ended in a panic.
    RequestPanic,
    /// A batch was handed over and then answered without its report.
    ReportWithheld,
}

impl Word for Violation {
    const ALL: &'static [Self] = &[
        Self::UndecidedRecipients,
        Self::MismatchedOutcomes,
        Self::AdapterPanic,
        Self::RequestPanic,
        Self::ReportWithheld,
    ];

    fn word(self) -> &'static str {
        match self {
            Self::UndecidedRecipients => "undecided_recipients",
            Self::MismatchedOutcomes => "mismatched_outcomes",
            Self::AdapterPanic => "adapter_panic",
            Self::RequestPanic => "request_panic",
            Self::ReportWithheld => "report_withheld",
        }
    }
}
