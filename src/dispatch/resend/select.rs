//! Whom a resend goes to: pure, from the reports of a family.

use std::collections::HashMap;
use std::sync::Arc;

use crate::dispatch::resend::Wanted;
use crate::domain::failure::FailureKind;
use crate::domain::outcome::Outcome;
use crate::domain::recipients::RecipientList;
use crate::domain::report::{Decided, Report, RouteReport};

/// How a recipient stands over a whole family: the highest of its outcomes.
///
/// No order of time is needed: what was accepted is never sent again, and a later failure does not take back
/// that an earlier message may have been delivered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Standing {
    /// Every try failed.
    Failed,
    /// Somewhere it may have been delivered.
    Unknown,
    /// It was taken.
    Accepted,
}

/// Whom to send to again.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Selection {
    /// One for every route with somebody left.
    pub(super) parts: Vec<Part>,
    /// Recipients that failed in the named batch and are asked for, but may have got the message elsewhere.
    pub(super) doubtful: usize,
}

/// Some recipients of one route.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// The route in the named batch.
    pub(super) route_index: usize,
    /// The same in the root of the family.
    pub(super) root_route: usize,
    /// Distinct, in the route's order, with their references.
    pub(super) recipients: RecipientList,
    /// Whether they are members of the room that the route names.
    pub(super) is_directed: bool,
}

impl Wanted {
    const fn takes(self, standing: Standing) -> bool {
        match standing {
            Standing::Failed => matches!(self, Self::Failed | Self::FailedOrUnknown),
            Standing::Unknown => matches!(self, Self::Unknown | Self::FailedOrUnknown),
            Standing::Accepted => false,
        }
    }
}

/// Chooses the recipients of `named` that are `wanted`, as they stand over all `members` of its family.
pub(super) fn select(named: &Report, members: &[Arc<Report>], wanted: Wanted) -> Selection {
    let mut selection = Selection::default();
    for (route_index, route) in named.routes.iter().enumerate() {
        let Some(root_route) = named.batch.root_route(route_index) else { continue };
        let is_send_all = named.batch.routes.get(route_index).is_some_and(|route| route.to.is_empty());
        let mut standings = candidates(route, is_send_all);
        for member in members {
            for (index, other) in member.routes.iter().enumerate() {
                if member.batch.root_route(index) == Some(root_route) {
                    raise(&mut standings, other);
                }
            }
        }
        let mut recipients = RecipientList::default();
        for (position, own) in lines(route) {
            let id = route.recipients.id(position);
            let Some(standing) = standings.get(id).copied() else { continue };
            if wanted.takes(standing) {
                match route.recipients.reference(position) {
                    Some(reference) => recipients.push_with_reference(id, reference.clone()),
                    None => recipients.push(id),
                }
            } else if wanted.takes(own) && standing == Standing::Unknown {
                selection.doubtful += 1;
            }
        }
        if !recipients.is_empty() {
            let is_directed = route.chatroom_id.is_some();
            selection.parts.push(Part { route_index, root_route, recipients, is_directed });
        }
    }
    selection
}

/// Who may come into question, by id.
fn candidates(route: &RouteReport, is_send_all: bool) -> HashMap<&str, Standing> {
    lines(route)
        .map(|(position, standing)| (route.recipients.id(position), standing))
        // A send-to-all whose answer was lost has this one result: it names nobody.
        .filter(|(id, _)| !(is_send_all && *id == "*"))
        .filter(|(_, standing)| *standing != Standing::Accepted)
        .collect()
}

/// Takes into account what another batch of the family says.
fn raise(standings: &mut HashMap<&str, Standing>, route: &RouteReport) {
    for (position, standing) in lines(route) {
        if standing != Standing::Failed
            && let Some(known) = standings.get_mut(route.recipients.id(position))
        {
            *known = standing.max(*known);
        }
    }
}

/// How everybody stands after one route, repeats left out: those were sent to where they stood first.
fn lines(route: &RouteReport) -> impl Iterator<Item = (u32, Standing)> + '_ {
    route.lines().filter_map(|line| Some((line.position, standing(line.decided)?)))
}

fn standing(decided: Option<Decided<'_>>) -> Option<Standing> {
    match decided.map(|decided| decided.outcome) {
        Some(Outcome::Accepted(_)) => Some(Standing::Accepted),
        Some(Outcome::Failed(failure)) if failure.kind == FailureKind::DuplicateRecipient => None,
        Some(Outcome::Failed(_)) => Some(Standing::Failed),
        // What an ended batch left undecided may have been sent.
        Some(Outcome::Unknown(_)) | None => Some(Standing::Unknown),
    }
}
