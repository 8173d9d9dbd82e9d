//! Why a recipient was not served.

use std::time::Duration;

/// Why one recipient, or all recipients of a call, were not served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The stable class.
    pub kind: FailureKind,
    /// Who says so.
    pub source: Source,
    /// What broke on the way, where the transport and not the provider spoke.
    pub cause: Option<Cause>,
    /// A repeat as it is cannot make a second message and may help.
    pub retryable: bool,
    /// The provider's own code, verbatim.
    pub provider_code: Option<Box<str>>,
    /// The provider's own text, verbatim.
    pub provider_message: Option<Box<str>>,
    /// What it means, in a sentence of ours, from the provider's document.
    pub hint: Option<Box<str>>,
    /// The message id that came with an answer which otherwise says nothing certain.
    pub message_id: Option<Box<str>>,
}

impl Failure {
    /// A failure that the provider's answer states, not retryable, without details.
    #[must_use]
    pub const fn provider(kind: FailureKind) -> Self {
        Self::new(kind, Source::Provider)
    }

    /// A failure on the way to the provider or back.
    #[must_use]
    pub fn transport(kind: FailureKind, cause: Cause) -> Self {
        Self { cause: Some(cause), ..Self::new(kind, Source::Transport) }
    }

    /// A failure that the gateway itself decided.
    #[must_use]
    pub const fn gateway(kind: FailureKind) -> Self {
        Self::new(kind, Source::Gateway)
    }

    const fn new(kind: FailureKind, source: Source) -> Self {
        Self {
            kind,
            source,
            cause: None,
            retryable: false,
            provider_code: None,
            provider_message: None,
            hint: None,
            message_id: None,
        }
    }

    /// Sets [`Self::retryable`].
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.retryable = retryable;
        self
    }

    /// Sets [`Self::cause`].
    #[must_use]
    pub fn with_cause(mut self, cause: Cause) -> Self {
        self.cause = Some(cause);
        self
    }

    /// Sets [`Self::provider_code`].
    #[must_use]
    pub fn with_code(mut self, code: impl Into<Box<str>>) -> Self {
        self.provider_code = Some(code.into());
        self
    }

    /// Sets [`Self::provider_message`]; an empty text counts as none.
    #[must_use]
    pub fn with_message(mut self, message: &str) -> Self {
        self.provider_message = (!message.is_empty()).then(|| message.into());
        self
    }

    /// Sets [`Self::hint`]; an empty text counts as none.
    #[must_use]
    pub fn with_hint(mut self, hint: &str) -> Self {
        self.hint = (!hint.is_empty()).then(|| hint.into());
        self
    }

    /// Sets [`Self::message_id`].
    #[must_use]
    pub fn with_message_id(mut self, message_id: impl Into<Box<str>>) -> Self {
        self.message_id = Some(message_id.into());
        self
    }
}

/// The stable classes of failures: a closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum FailureKind {
    /// The provider refuses the request as it is.
    InvalidRequest,
    /// The recipient does not exist, or its id cannot be one.
    InvalidRecipient,
    /// The credential is wrong or expired.
    Authentication,
    /// The credential is right but may not do this.
    Permission,
    /// The provider or the app's own hook refuses the content.
    ContentRejected,
    /// Too many calls or messages.
    RateLimited,
    /// The provider could not be reached or could not answer.
    ProviderUnavailable,
    /// The provider failed or answered nonsense.
    ProviderError,
    /// A code that the provider does not document.
    Unknown,
    /// The recipient stood earlier in the same route.
    DuplicateRecipient,
    /// The channel's circuit was open.
    CircuitOpen,
    /// The batch's time was over.
    Expired,
    /// The caller canceled the batch.
    Canceled,
    /// The gateway shut down first.
    Shutdown,
    /// A fault of the gateway.
    Internal,
}

impl FailureKind {
    /// Every class, in the order of the API document.
    pub const ALL: [Self; 15] = [
        Self::InvalidRequest,
        Self::InvalidRecipient,
        Self::Authentication,
        Self::Permission,
        Self::ContentRejected,
        Self::RateLimited,
        Self::ProviderUnavailable,
        Self::ProviderError,
        Self::Unknown,
        Self::DuplicateRecipient,
        Self::CircuitOpen,
        Self::Expired,
        Self::Canceled,
        Self::Shutdown,
        Self::Internal,
    ];

    /// The `error.code` in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::InvalidRecipient => "invalid_recipient",
            Self::Authentication => "authentication",
            Self::Permission => "permission",
            Self::ContentRejected => "content_rejected",
            Self::RateLimited => "rate_limited",
            Self::ProviderUnavailable => "provider_unavailable",
            Self::ProviderError => "provider_error",
            Self::Unknown => "unknown",
            Self::DuplicateRecipient => "duplicate_recipient",
            Self::CircuitOpen => "circuit_open",
            Self::Expired => "expired",
            Self::Canceled => "canceled",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}

/// Who states a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// The provider, in its answer.
    Provider,
    /// The connection to the provider.
    Transport,
    /// imcast itself.
    Gateway,
}

impl Source {
    /// Everybody who may state one.
    pub const ALL: [Self; 3] = [Self::Provider, Self::Transport, Self::Gateway];

    /// The `error.source` in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provider => "provider",
            Self::Transport => "transport",
            Self::Gateway => "gateway",
        }
    }
}

/// What broke between imcast and the provider.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// DNS, connect or TLS failed: nothing was written.
    Connect,
    /// No answer in time.
    Timeout,
    /// The connection broke after something was written.
    ConnectionReset,
    /// An answer came that says nothing usable.
    UnreadableAnswer,
    /// The answer does not mention this recipient.
    Unaccounted,
    /// Only the HTTP status says something.
    HttpStatus(u16),
}

impl std::fmt::Display for Cause {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connect => formatter.write_str("connect"),
            Self::Timeout => formatter.write_str("timeout"),
            Self::ConnectionReset => formatter.write_str("connection_reset"),
            Self::UnreadableAnswer => formatter.write_str("unreadable_answer"),
            Self::Unaccounted => formatter.write_str("unaccounted"),
            Self::HttpStatus(status) => write!(formatter, "http_{status}"),
        }
    }
}

/// How long a provider asked to wait, at most what imcast believes: one hour.
pub const MAX_RETRY_AFTER: Duration = Duration::from_secs(3600);
