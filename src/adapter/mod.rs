//! The contract between the engine and a provider: pure translation, credentials apart, no I/O.
//!
//! An adapter never opens a socket, reads a clock or draws randomness: time and nonce come in [`Call`] and
//! [`Attempt`]. It reports facts; whether something is tried again is decided by `dispatch` alone.

pub mod attribution;
pub mod channel;
pub mod fields;
pub mod option_field;
pub mod profile;
pub mod sandbox;
pub mod secret;
pub mod wire;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::adapter::profile::Profile;
use crate::adapter::secret::Secret;
use crate::adapter::wire::{WireRequest, WireResponse};
use crate::domain::failure::Failure;
use crate::domain::fault::Fault;
use crate::domain::outcome::{Outcome, Outcomes};
use crate::domain::recipients::{RecipientList, Recipients};
use crate::domain::report::Warning;
use crate::domain::route::Route;

/// Speaks one provider's format for one channel.
pub trait Adapter: Send + Sync + 'static {
    /// Capabilities and limits, as data.
    fn profile(&self) -> &Profile;

    /// Checks sender, target, message, ext, push and options of a route, and encodes the message part once.
    ///
    /// # Errors
    /// Every [`Fault`] at once, with pointers relative to the route (`/message/url`); the request is refused
    /// before any call.
    fn prepare(&self, route: &Arc<Route>) -> Result<Box<dyn Prepared>, Vec<Fault>>;
}

/// One route that can be sent.
pub trait Prepared: Send + Sync {
    /// What was left out, with pointers relative to the route; `channel` is filled in by the engine.
    fn warnings(&self) -> &[Warning];

    /// Who the recipients are; nearly always the route's own `to`.
    fn audience(&self) -> Audience {
        Audience::To
    }

    /// How recipients are cut into calls.
    fn chunking(&self) -> Chunking;

    /// Whether the provider can take this id.
    ///
    /// # Errors
    /// The [`Failure`] of this one recipient; the others are sent.
    fn check_recipient(&self, id: &str) -> Result<(), Failure>;

    /// Writes one call, without credentials. Cannot fail after `prepare`.
    ///
    /// The same `call` gives the same body, byte for byte.
    fn encode(&self, call: &Call<'_>) -> WireRequest;

    /// Reads the answer to one call.
    ///
    /// # Errors
    /// [`DecodeError`] when nothing in the answer is usable; the engine settles the chunk by the HTTP status.
    fn decode(&self, call: &Call<'_>, response: &WireResponse) -> Result<Answer, DecodeError>;
}

/// Who the recipients of a prepared route are.
#[derive(Clone, Debug)]
pub enum Audience {
    /// The entries of `to`.
    To,
    /// Members of the one room in `to`; indexes, counts, repeats and limits are theirs.
    Members {
        /// The room.
        chatroom_id: Arc<str>,
        /// The members, each with the room's reference.
        members: Arc<RecipientList>,
    },
    /// Whomever the answer lists: one call, never repeated, with no recipients in it.
    Everyone,
}

/// How recipients are cut into calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chunking {
    /// Most recipients of one call, at least 1.
    pub recipients_per_call: usize,
    /// What a call costs of the message budget.
    pub cost: MessageCost,
}

/// What a call costs of the message budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageCost {
    /// One message per recipient.
    PerRecipient,
    /// One message per call.
    PerCall,
}

/// One provider call; kept for a repeat, so that the body stays the same.
#[derive(Clone, Copy, Debug)]
pub struct Call<'a> {
    /// Distinct recipients in the caller's order; empty only for [`Audience::Everyone`].
    pub recipients: Recipients<'a>,
    /// When the call was planned.
    pub now: SystemTime,
    /// Random, one per call: where a format wants a random number that a repeat must keep.
    pub nonce: u64,
}

/// One try of a call; new for every try.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The route, for credentials that a caller may give per request.
    pub route: &'a Route,
    /// When the try starts.
    pub now: SystemTime,
    /// Random, one per try: where a format wants a value that no request may repeat.
    pub nonce: u64,
}

/// What one answer says.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The verdict.
    pub verdict: Verdict,
    /// The provider's id of the request, for its support.
    pub request_id: Option<Box<str>>,
    /// What looked odd; `channel` and `pointer` stay empty.
    pub warnings: Vec<Warning>,
}

impl From<Verdict> for Answer {
    fn from(verdict: Verdict) -> Self {
        Self { verdict, request_id: None, warnings: Vec::new() }
    }
}

/// What one provider answer says about the recipients of its call.
#[derive(Clone, Debug)]
pub enum Verdict {
    /// One outcome per recipient: same length and order as `call.recipients`.
    Answered(Outcomes),
    /// Send-to-all: the answer says who they were. Ids are distinct.
    Listed(Vec<(Box<str>, Outcome)>),
    /// Documented: nobody was served.
    Refused {
        /// Why, for every recipient.
        failure: Failure,
        /// What may be done about it.
        repeat: Repeat,
        /// How long the provider asked to wait.
        retry_after: Option<Duration>,
    },
    /// Documented: it may have been processed.
    Undecided(Failure),
}

/// What may be done about a refused call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeat {
    /// Nothing: the same call would be refused again.
    Never,
    /// Documented as safe and useful to repeat.
    Safe,
    /// Once, with a new token or signature.
    WithNewToken,
    /// Nothing, and the route's calls not yet started would fare alike.
    EndsRoute,
}

/// Nothing in the answer is usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the JSON that the provider documents.
    #[error("the answer is not the documented JSON")]
    NotDocumented,
}

/// How a channel proves who it is.
pub enum Auth {
    /// Every request carries its own proof.
    Sign(Box<dyn Sign>),
    /// Requests carry a token that is fetched and renewed.
    Token(Box<dyn TokenGrant>),
}

/// Puts a proof into every request.
pub trait Sign: Send + Sync + 'static {
    /// Adds the proof for one try; what is secret in it is marked as such.
    ///
    /// # Errors
    /// [`AuthError`] if no proof can be made; nothing is sent.
    fn sign(&self, attempt: &Attempt<'_>, request: &mut WireRequest) -> Result<(), AuthError>;

    /// What a caller may give to sign with in place of what is configured; `None` = nothing.
    fn given_credentials(&self) -> Option<GivenCredentials<'_>>;

    /// Forgets what is cached, because the provider called it expired.
    fn renew(&self) {}
}

/// Credentials that a caller may give in the options of a route.
#[derive(Clone, Copy, Debug)]
pub struct GivenCredentials<'a> {
    /// The field of the options that holds them.
    pub field: &'static str,
    /// The channel's own secret, with which they are sealed wherever the batch is kept.
    pub secret: &'a Secret,
}

/// Fetches tokens and puts them into requests.
pub trait TokenGrant: Send + Sync + 'static {
    /// The token that needs no fetching, if the channel is configured with one.
    fn fixed(&self) -> Option<Token>;

    /// What tokens are asked for with: they are sealed with it where replicas share them; `None` = none is asked for.
    fn secret(&self) -> Option<&Secret>;

    /// The request that asks for a token; its secrets are marked or in the body.
    ///
    /// # Errors
    /// [`AuthError`] if the request cannot be made.
    fn encode_grant(&self, nonce: u64) -> Result<WireRequest, AuthError>;

    /// Reads the answer to it.
    ///
    /// # Errors
    /// [`AuthError`] with the class of the refusal.
    fn decode_grant(&self, response: &WireResponse, now: SystemTime) -> Result<Token, AuthError>;

    /// Puts the token into a request, marked as secret.
    ///
    /// # Errors
    /// [`AuthError`] if the token does not fit into a header.
    fn attach(
        &self,
        attempt: &Attempt<'_>,
        token: &Token,
        request: &mut WireRequest,
    ) -> Result<(), AuthError>;
}

/// A provider's access token.
#[derive(Clone, Debug)]
pub struct Token {
    /// The token itself.
    pub value: Secret,
    /// When it was got.
    pub issued_at: SystemTime,
    /// How long it lives; `None` = until the provider refuses it.
    pub lifetime: Option<Duration>,
    /// When to fetch the next one ahead of time; `None` = never.
    pub refresh_at: Option<SystemTime>,
}

impl Token {
    /// Whether it still lives; one whose end is too far off to be a time lives until the provider refuses it.
    #[must_use]
    pub fn is_good(&self, now: SystemTime) -> bool {
        let end = self.lifetime.and_then(|lifetime| self.issued_at.checked_add(lifetime));
        end.is_none_or(|end| now < end)
    }
}

/// Why no credential could be got or applied; nothing was sent.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AuthError {
    /// The token endpoint refused, or its answer is unusable.
    #[error("the provider gave no token")]
    Refused {
        /// The class and the provider's own words.
        failure: Box<Failure>,
    },
    /// A configured value does not fit where the format wants it.
    #[error("the configured {0} cannot be sent")]
    Unusable(&'static str),
}
