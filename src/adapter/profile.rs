//! What a channel can do, as data: shown at `GET /v1/channels` and used for checks.

use std::num::NonZeroUsize;

use crate::domain::fault::{Fault, FaultCode};
use crate::domain::message::{Message, MessageType};
use crate::domain::outcome::Evidence;
use crate::domain::route::{Route, TargetType};

/// Capabilities and limits of one channel.
#[derive(Clone, Debug)]
pub struct Profile {
    /// The provider's name in configuration and `provider_options`.
    pub provider: &'static str,
    /// What becomes of each message type; a type that is missing here is refused.
    pub messages: Vec<(MessageType, Support)>,
    /// What the ids of `to` may name; the first is the default.
    pub target_types: &'static [TargetType],
    /// Whether a send needs `from` or `default_from`.
    pub sender: SenderRule,
    /// Whether `push` can be carried.
    pub has_push: bool,
    /// Most recipients one call names on this channel.
    pub recipients_per_call: NonZeroUsize,
    /// Most bytes of the message part, counted as the fact sheet says; `None` = not checked here.
    pub max_payload_bytes: Option<usize>,
    /// What an acceptance rests on.
    pub evidence: Evidence,
    /// Parts of a call that differ each time, as `query.random` or `body.MsgRandom`; named in plans.
    pub volatile: &'static [&'static str],
}

/// Whether a message type can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Yes.
    Carried,
    /// No; the text says why or what to use instead.
    Refused(&'static str),
}

/// Whether a send needs a visible sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SenderRule {
    /// It does.
    Required,
    /// Without one the provider fills in its own.
    Optional,
}

impl Profile {
    /// Checks what every provider's `prepare` has to check: message type, target type, sender and push.
    ///
    /// Returns the target type to use.
    ///
    /// # Errors
    /// Every fault at once, with pointers relative to the route.
    pub fn check(&self, route: &Route) -> Result<TargetType, Vec<Fault>> {
        let mut faults = Vec::new();
        self.check_message(&route.message, &mut faults);
        let target_type = self.check_target(route.target_type, &mut faults);
        match route.sender.as_deref() {
            Some("") => {
                faults.push(Fault::new("/from", FaultCode::OutOfRange, "the sender must not be empty"));
            }
            None if self.sender == SenderRule::Required => faults.push(Fault::new(
                "/from",
                FaultCode::Required,
                format!(
                    "{} requires a sender: give `from`, or set the channel's `default_from`",
                    self.provider
                ),
            )),
            Some(_) | None => {}
        }
        if route.push.is_some() && !self.has_push {
            faults.push(Fault::new(
                "/push",
                FaultCode::Unsupported,
                format!("{} has no field for offline push", self.provider),
            ));
        }
        if faults.is_empty() { Ok(target_type) } else { Err(faults) }
    }

    fn check_message(&self, message: &Message, faults: &mut Vec<Fault>) {
        let message_type = message.message_type();
        let reason = match self.messages.iter().find(|(known, _)| *known == message_type) {
            Some((_, Support::Carried)) => return,
            Some((_, Support::Refused(reason))) => reason,
            None => "no field for it",
        };
        faults.push(Fault::new(
            "/message/type",
            FaultCode::Unsupported,
            format!("{} cannot carry a {} message: {reason}", self.provider, message_type.as_str()),
        ));
    }

    fn check_target(&self, asked: Option<TargetType>, faults: &mut Vec<Fault>) -> TargetType {
        let natural = self.target_types.first().copied().unwrap_or(TargetType::User);
        let target_type = asked.unwrap_or(natural);
        if !self.target_types.contains(&target_type) {
            faults.push(Fault::new(
                "/target_type",
                FaultCode::Unsupported,
                format!("{} cannot target a {}", self.provider, target_type.as_str()),
            ));
        }
        target_type
    }
}
