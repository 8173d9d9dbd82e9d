//! One route: what is sent, to whom, and what it counts.

use std::sync::Arc;
use std::time::Duration;

use crate::domain::recipients::RecipientList;
use crate::domain::report::{RouteReport, Settled};
use crate::domain::route::Route;
use crate::store::stored::outcomes::{decode_outcomes, encode_outcomes};
use crate::store::stored::packed::{decode_recipients, encode_positions, encode_recipients};
use crate::store::stored::route::{decode_route, encode_route};
use crate::store::stored::rows::chunk::positions_within;
use crate::store::stored::rows::values::{column, read_channel, u32_of};
use crate::store::stored::{Providers, Unreadable, from_document, to_document};

#[derive(Debug)]
pub(crate) struct RouteRow {
    pub(crate) route_index: i64,
    pub(crate) channel: String,
    pub(crate) provider: String,
    pub(crate) is_sandbox: bool,
    pub(crate) route: String,
    pub(crate) recipients: Vec<u8>,
    /// The entries of `to` where they are not the recipients.
    pub(crate) entries: Option<Vec<u8>>,
    pub(crate) chatroom_id: Option<Arc<str>>,
    pub(crate) unsent_positions: Option<Vec<u8>>,
    pub(crate) unsent_outcomes: Option<Vec<u8>>,
    pub(crate) counters: RouteCounters,
}

/// What changes in a route beside its calls.
#[derive(Debug)]
pub(crate) struct RouteCounters {
    pub(crate) calls: i64,
    pub(crate) retries: i64,
    pub(crate) throttled: i64,
    pub(crate) request_ids: String,
}

impl RouteRow {
    pub(super) fn encode(
        route_index: usize,
        route: &Route,
        report: &RouteReport,
    ) -> Result<Self, Unreadable> {
        let RouteReport {
            channel,
            provider,
            is_sandbox,
            recipients,
            chatroom_id,
            settled: _,
            unsent,
            calls: _,
            retries: _,
            throttled: _,
            provider_request_ids: _,
        } = report;
        let unsent_outcomes = unsent.as_ref().map(|unsent| encode_outcomes(&unsent.outcomes)).transpose()?;
        Ok(Self {
            route_index: column(route_index),
            channel: channel.as_str().to_owned(),
            provider: (*provider).to_owned(),
            is_sandbox: *is_sandbox,
            route: encode_route(route)?,
            recipients: encode_recipients(recipients),
            entries: (!is_same(&route.to, recipients)).then(|| encode_recipients(&route.to)),
            chatroom_id: chatroom_id.clone(),
            unsent_positions: unsent.as_ref().map(|unsent| encode_positions(&unsent.positions)),
            unsent_outcomes,
            counters: RouteCounters::encode(report)?,
        })
    }

    pub(super) fn decode(
        self,
        providers: Providers,
        is_resend: bool,
    ) -> Result<(Route, RouteReport), Unreadable> {
        let channel = read_channel(&self.channel)?;
        let provider = providers(&self.provider)
            .ok_or_else(|| Unreadable(format!("no provider `{}`", self.provider)))?;
        let recipients = Arc::new(decode_recipients(&self.recipients)?);
        let entries = match &self.entries {
            None => Arc::clone(&recipients),
            Some(entries) => Arc::new(decode_recipients(entries)?),
        };
        let unsent = match (&self.unsent_positions, &self.unsent_outcomes) {
            (Some(positions), Some(outcomes)) => {
                let positions = positions_within(positions, &recipients)?;
                let outcomes = decode_outcomes(outcomes, positions.len())?;
                Some(Settled { positions, outcomes, attempts: 0 })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(Unreadable::new("half of the unsent")),
        };
        // Whom a resend goes to was chosen when it began: they are its recipients.
        let only = is_resend.then(|| Arc::clone(&recipients));
        let route = Route { only, ..decode_route(&self.route, channel.clone(), entries)? };
        let report = RouteReport {
            channel,
            provider,
            is_sandbox: self.is_sandbox,
            recipients,
            chatroom_id: self.chatroom_id,
            settled: Vec::new(),
            unsent,
            calls: u32_of(self.counters.calls)?,
            retries: u32_of(self.counters.retries)?,
            throttled: Duration::from_nanos(u64::try_from(self.counters.throttled).unwrap_or_default()),
            provider_request_ids: from_document(&self.counters.request_ids)?,
        };
        Ok((route, report))
    }
}

impl RouteCounters {
    /// What a route counts while it runs.
    pub(crate) fn encode(report: &RouteReport) -> Result<Self, Unreadable> {
        Ok(Self {
            calls: i64::from(report.calls),
            retries: i64::from(report.retries),
            throttled: i64::try_from(report.throttled.as_nanos()).unwrap_or(i64::MAX),
            request_ids: to_document(&report.provider_request_ids)?,
        })
    }
}

/// Whether two lists are the same, without comparing them where they are one.
pub(crate) fn is_same(left: &Arc<RecipientList>, right: &Arc<RecipientList>) -> bool {
    Arc::ptr_eq(left, right) || left == right
}
