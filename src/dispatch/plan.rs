//! From a batch to the exact calls it will make, without making them.

use std::hash::BuildHasher as _;
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::adapter::secret::{REDACTED, Secret};
use crate::adapter::wire::WireRequest;
use crate::adapter::{Attempt, Audience, Auth, Call, Chunking, Prepared, Token};
use crate::dispatch::channel::ChannelRuntime;
use crate::dispatch::reports::{OpenRoute, eta};
use crate::dispatch::sealed_options::{self, LOST_CREDENTIALS};
use crate::dispatch::{Channels, Shared};
use crate::domain::batch::{Batch, OnInvalid};
use crate::domain::failure::{Failure, FailureKind};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::ChannelName;
use crate::domain::outcome::{Outcome, OutcomesBuilder};
use crate::domain::recipients::{Positions, RecipientList, Recipients, narrow};
use crate::domain::report::{Eta, Report, Settled, Warning};
use crate::domain::route::Route;
use crate::store::durable::Chunk;
use crate::telemetry::trace_context::TraceId;

/// Most bad recipients that a refusal lists.
const MOST_LISTED_RECIPIENTS: usize = 100;

/// A batch that can be sent: every check is done.
pub struct Plan {
    pub(super) batch: Arc<Batch>,
    pub(super) routes: Vec<PlannedRoute>,
    warnings: Vec<Warning>,
    /// Which route each warning is about: same length and order as `warnings`.
    warning_routes: Vec<usize>,
    shared: Arc<Shared>,
    pub(super) trace_id: Option<TraceId>,
}

/// One route of a plan.
pub(super) struct PlannedRoute {
    /// As it is sent; the batch has it as it is kept.
    pub(super) route: Arc<Route>,
    pub(super) channel: Arc<ChannelRuntime>,
    pub(super) prepared: Box<dyn Prepared>,
    pub(super) chunking: Chunking,
    pub(super) recipients: Arc<RecipientList>,
    pub(super) chatroom_id: Option<Arc<str>>,
    /// Who will be sent to: sound and distinct.
    pub(super) positions: Positions,
    /// Calls of a process that died, which go again: the caller accepts duplicates.
    pub(super) again: Vec<Positions>,
    /// Who will not, and why.
    pub(super) unsent: Option<Settled>,
    /// Whether the provider alone knows the recipients.
    pub(super) is_everyone: bool,
}

/// What is wrong with one route; the pointer is relative to the route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteFault {
    /// Which route.
    pub route_index: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// One call of a plan, as it would be sent; what is secret in it is marked.
#[derive(Clone, Debug)]
pub struct PlannedCall {
    /// Which route.
    pub route_index: usize,
    /// The channel.
    pub channel: ChannelName,
    /// The provider's name.
    pub provider: &'static str,
    /// Where it goes: scheme, host, port, path prefix.
    pub base_url: String,
    /// The request.
    pub request: WireRequest,
    /// How many recipients it names.
    pub recipient_count: usize,
    /// Parts that will differ when it is sent.
    pub volatile: &'static [&'static str],
}

impl Plan {
    pub(super) fn new(shared: &Arc<Shared>, mut batch: Batch) -> Result<Self, Vec<RouteFault>> {
        // One view for all routes: a batch never straddles a replacement.
        let channels = shared.channels.load_full();
        let mut routes = Vec::with_capacity(batch.routes.len());
        let mut faults = Vec::new();
        for (route_index, route) in batch.routes.iter_mut().enumerate() {
            match PlannedRoute::new(&channels, route, batch.on_invalid) {
                Ok(planned) => routes.push(planned),
                Err(found) => {
                    faults.extend(found.into_iter().map(|fault| RouteFault { route_index, fault }));
                }
            }
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        let mut warnings = Vec::new();
        let mut warning_routes = Vec::new();
        for (route_index, planned) in routes.iter().enumerate() {
            for warning in planned.prepared.warnings() {
                let channel = Some(planned.channel.name().clone());
                warnings.push(Warning { channel, ..warning.clone() });
                warning_routes.push(route_index);
            }
        }
        Ok(Self {
            batch: Arc::new(batch),
            routes,
            warnings,
            warning_routes,
            shared: Arc::clone(shared),
            trace_id: None,
        })
    }

    /// The plan of a batch that the store kept, as far as it can be sent with the present configuration.
    ///
    /// # Errors
    /// Why it cannot, for operators.
    pub(super) fn resumed(shared: &Arc<Shared>, report: &Report) -> Result<Self, String> {
        let mut plan = Self::new(shared, (*report.batch).clone()).map_err(|faults| {
            let faults = faults.iter().map(|RouteFault { route_index, fault }| {
                format!("route {route_index}: {}: {}", fault.pointer, fault.detail)
            });
            faults.collect::<Vec<_>>().join("; ")
        })?;
        if plan.routes.len() != report.routes.len() {
            return Err("its routes are not those of its report".to_owned());
        }
        // The report names its recipients; nobody is judged anew.
        for (planned, kept) in plan.routes.iter_mut().zip(&report.routes) {
            planned.recipients = Arc::clone(&kept.recipients);
            planned.unsent.clone_from(&kept.unsent);
        }
        Ok(plan)
    }

    /// Leaves only what nobody has decided to be sent, and `again` to be sent as what it is: a repeat.
    pub(super) fn leave_open(&mut self, report: &Report, again: Vec<Chunk>) {
        for (planned, kept) in self.routes.iter_mut().zip(&report.routes) {
            let open = kept.lines().filter(|line| line.decided.is_none()).map(|line| line.position);
            let open: Arc<[u32]> = open.collect();
            let count = open.len();
            planned.positions = Positions::Picked(open, 0..count);
        }
        for Chunk { route_index, positions } in again {
            if let Some(planned) = self.routes.get_mut(route_index) {
                planned.positions.remove(&positions);
                planned.again.push(positions);
            }
        }
    }

    /// Whether the provider alone knows the recipients of this route.
    pub(super) fn is_everyone(&self, route_index: usize) -> bool {
        self.routes.get(route_index).is_some_and(|planned| planned.is_everyone)
    }

    /// The batch.
    #[must_use]
    pub const fn batch(&self) -> &Arc<Batch> {
        &self.batch
    }

    /// What was left out; pointers are relative to the route.
    #[must_use]
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// Replaces the warnings' pointers, once the caller's own layout is known.
    #[must_use]
    pub fn with_pointers(mut self, place: impl Fn(usize, &str) -> String) -> Self {
        for (warning, route_index) in self.warnings.iter_mut().zip(&self.warning_routes) {
            warning.pointer = warning.pointer.as_deref().map(|pointer| place(*route_index, pointer));
        }
        self
    }

    /// Says which trace the batch belongs to, for its line in the log.
    #[must_use]
    pub fn with_trace(mut self, trace_id: TraceId) -> Self {
        self.trace_id = Some(trace_id);
        self
    }

    /// How many provider calls it takes, repeats not counted.
    #[must_use]
    pub fn call_count(&self) -> usize {
        self.routes.iter().map(PlannedRoute::call_count).sum()
    }

    /// How many recipients there are, those that will not be sent to included.
    #[must_use]
    pub fn recipient_count(&self) -> usize {
        self.routes.iter().map(|planned| planned.recipients.len()).sum()
    }

    /// How many recipients will fail without a call.
    #[must_use]
    pub fn unsent(&self) -> usize {
        self.routes
            .iter()
            .filter_map(|planned| planned.unsent.as_ref())
            .map(|unsent| unsent.positions.len())
            .sum()
    }

    /// The first `most` calls as they would be sent.
    #[must_use]
    pub fn preview(&self, most: usize) -> Vec<PlannedCall> {
        let mut calls = Vec::new();
        for (route_index, planned) in self.routes.iter().enumerate() {
            for chunk in planned.chunks() {
                if calls.len() == most {
                    return calls;
                }
                calls.push(planned.preview(&self.shared, route_index, &chunk));
            }
        }
        calls
    }

    /// How long the budgets would make it take; `None` = no budget is in the way.
    #[must_use]
    pub fn eta(&self) -> Option<Eta> {
        eta(self.routes.iter().map(|planned| planned.open(planned.positions.len(), false)))
    }
}

impl PlannedRoute {
    fn new(channels: &Channels, route: &mut Arc<Route>, on_invalid: OnInvalid) -> Result<Self, Vec<Fault>> {
        let Some(channel) = channels.get(route.channel.as_str()) else {
            let detail = format!("no channel is named `{}`", route.channel);
            return Err(vec![Fault::new("/channel", FaultCode::UnknownChannel, detail)]);
        };
        if let (None, Some(default_from)) = (&route.sender, channel.default_from()) {
            Arc::make_mut(route).sender = Some(default_from.into());
        }
        let sealing = |_| vec![Fault::new("/provider_options", FaultCode::Conflict, LOST_CREDENTIALS)];
        let open = sealed_options::open(route, channel).map_err(sealing)?;
        let prepared = channel.channel().adapter.prepare(&open)?;
        *route = sealed_options::seal(&open, channel).map_err(sealing)?;
        let (recipients, chatroom_id, is_everyone) = match prepared.audience() {
            Audience::To => (Arc::clone(route.only.as_ref().unwrap_or(&route.to)), None, false),
            Audience::Members { chatroom_id, members } => {
                (route.only.clone().unwrap_or(members), Some(chatroom_id), false)
            }
            Audience::Everyone if route.only.is_some() => {
                let detail = "a resend goes to the recipients that it names, never to everybody";
                return Err(vec![Fault::new("/to", FaultCode::Conflict, detail)]);
            }
            Audience::Everyone => (Arc::new(RecipientList::from_iter(["*"])), None, true),
        };
        if recipients.is_empty() {
            let detail = "at least one recipient is needed";
            return Err(vec![Fault::new("/to", FaultCode::Required, detail)]);
        }
        let (positions, unsent) =
            if is_everyone { (Positions::Range(0..1), None) } else { sort_out(&recipients, &*prepared) };
        if on_invalid == OnInvalid::Reject
            && let Some(unsent) = &unsent
        {
            let faults = invalid_recipients(&recipients, unsent);
            if !faults.is_empty() {
                return Err(faults);
            }
        }
        Ok(Self {
            route: open,
            channel: Arc::clone(channel),
            chunking: prepared.chunking(),
            prepared,
            recipients,
            chatroom_id,
            positions,
            again: Vec::new(),
            unsent,
            is_everyone,
        })
    }

    /// The recipients of each call.
    pub(super) fn chunks(&self) -> impl Iterator<Item = Positions> + '_ {
        self.positions.chunks(self.chunking.recipients_per_call)
    }

    /// So many of its recipients are open.
    pub(super) fn open(&self, recipients: usize, is_waiting: bool) -> OpenRoute<'_> {
        OpenRoute { channel: &self.channel, chunking: self.chunking, recipients, is_waiting }
    }

    pub(super) fn call_count(&self) -> usize {
        self.positions.len().div_ceil(self.chunking.recipients_per_call.max(1))
    }

    fn preview(&self, shared: &Shared, route_index: usize, chunk: &Positions) -> PlannedCall {
        let nobody = Positions::Range(0..0);
        let named = if self.is_everyone { &nobody } else { chunk };
        let now = shared.clock.now();
        let recipients = Recipients::new(&self.recipients, named);
        let mut request = self.prepared.encode(&Call { recipients, now, nonce: shared.randomness.next() });
        let attempt = Attempt { route: &self.route, now, nonce: shared.randomness.next() };
        let authorized = match &self.channel.channel().auth {
            Auth::Sign(sign) => sign.sign(&attempt, &mut request),
            Auth::Token(grant) => {
                let value = Secret::new(REDACTED);
                let token = Token { value, issued_at: now, lifetime: None, refresh_at: None };
                grant.attach(&attempt, &token, &mut request)
            }
        };
        if let Err(error) = authorized {
            tracing::warn!(channel.name = %self.channel.name(), %error, "A plan shows a call without its credential.");
        }
        PlannedCall {
            route_index,
            channel: self.channel.name().clone(),
            provider: self.channel.provider(),
            base_url: self.channel.channel().settings.base_url.to_string().trim_end_matches('/').to_owned(),
            request,
            recipient_count: named.len(),
            volatile: self.channel.profile().volatile,
        }
    }
}

/// Separates who can be sent to from repeats and from ids that the provider cannot take.
fn sort_out(recipients: &Arc<RecipientList>, prepared: &dyn Prepared) -> (Positions, Option<Settled>) {
    let mut seen = Seen::new(recipients);
    let mut unsent = Vec::new();
    for (position, id) in (0..).zip(recipients.iter()) {
        if !seen.insert(position, id) {
            unsent.push((position, Failure::gateway(FailureKind::DuplicateRecipient)));
        } else if let Err(failure) = check_recipient(id, prepared) {
            unsent.push((position, failure));
        }
    }
    if unsent.is_empty() {
        return (Positions::Range(0..narrow(recipients.len())), None);
    }
    let mut skipped = unsent.iter().map(|(position, _)| *position).peekable();
    let sound: Arc<[u32]> =
        (0..narrow(recipients.len())).filter(|position| skipped.next_if_eq(position).is_none()).collect();
    let sound_count = sound.len();
    (Positions::Picked(sound, 0..sound_count), Some(settle_unsent(unsent)))
}

fn check_recipient(id: &str, prepared: &dyn Prepared) -> Result<(), Failure> {
    if id.is_empty() {
        let failure = Failure::gateway(FailureKind::InvalidRecipient);
        return Err(failure.with_hint("a recipient id must not be empty"));
    }
    prepared.check_recipient(id)
}

/// Packs local failures; repeats share one outcome.
fn settle_unsent(unsent: Vec<(u32, Failure)>) -> Settled {
    let hint = "this id stands earlier in the same route; it was sent to once";
    let duplicate = Failure::gateway(FailureKind::DuplicateRecipient).with_hint(hint);
    let mut outcomes = OutcomesBuilder::new(Outcome::failed(duplicate), unsent.len());
    let mut positions = Vec::with_capacity(unsent.len());
    for (offset, (position, failure)) in unsent.into_iter().enumerate() {
        positions.push(position);
        if failure.kind != FailureKind::DuplicateRecipient {
            outcomes.set(offset, Outcome::failed(failure));
        }
    }
    let count = positions.len();
    Settled {
        positions: Positions::Picked(positions.into(), 0..count),
        outcomes: outcomes.build(),
        attempts: 0,
    }
}

/// The faults of a request that wants to be refused rather than sent in part; repeats are no faults.
fn invalid_recipients(recipients: &RecipientList, unsent: &Settled) -> Vec<Fault> {
    let invalid = (0..unsent.positions.len()).filter_map(|offset| {
        let position = unsent.positions.get(offset)?;
        match unsent.outcomes.get(offset)? {
            Outcome::Failed(failure) if failure.kind != FailureKind::DuplicateRecipient => {
                let reason = failure.hint.as_deref().unwrap_or("the provider cannot take it");
                let detail = format!("recipient `{}`: {reason}", recipients.id(position));
                Some(Fault::new(format!("/to/{position}"), FaultCode::InvalidRecipient, detail))
            }
            Outcome::Failed(_) | Outcome::Accepted(_) | Outcome::Unknown(_) => None,
        }
    });
    invalid.take(MOST_LISTED_RECIPIENTS).collect()
}

/// Which ids were seen, as positions into the list: 4 bytes each instead of a copy of the id.
struct Seen<'a> {
    recipients: &'a RecipientList,
    hasher: DefaultHashBuilder,
    positions: HashTable<u32>,
}

impl<'a> Seen<'a> {
    fn new(recipients: &'a RecipientList) -> Self {
        let hasher = DefaultHashBuilder::default();
        Self { recipients, hasher, positions: HashTable::with_capacity(recipients.len()) }
    }

    /// Whether this `id`, which stands at `position`, is seen for the first time.
    fn insert(&mut self, position: u32, id: &str) -> bool {
        let Self { recipients, hasher, positions } = self;
        let entry = positions.entry(
            hasher.hash_one(id),
            |seen| recipients.id(*seen) == id,
            |seen| hasher.hash_one(recipients.id(*seen)),
        );
        match entry {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(vacant) => {
                vacant.insert(position);
                true
            }
        }
    }
}
