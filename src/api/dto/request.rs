//! From the text of a request to a batch.
//!
//! Every fault is found at once; what only a provider's adapter can judge is left to the plan, whose pointers
//! [`Origins`] puts in their place.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::adapter::fields::{Fields, Numbers};
use crate::api::dto::common::{Common, Origins};
use crate::api::dto::entries::Allowance;
use crate::api::dto::options::Options;
use crate::api::dto::routes::{Reader, refuse_short_form};
use crate::api::dto::source::{Source, Unreadable, parse};
use crate::api::keys::caller::Caller;
use crate::domain::batch::Batch;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::BatchId;

/// What a request is read against.
pub struct Context<'a> {
    /// The name of the batch it becomes.
    pub id: BatchId,
    /// Who sends it.
    pub caller: &'a Caller,
    /// When it came.
    pub now: SystemTime,
    /// Latest `expires_at`, counted from `now`.
    pub max_age: Duration,
    /// Most routes.
    pub most_routes: usize,
    /// Most recipients over all routes.
    pub most_recipients: usize,
    /// The provider of the channel of this name; `None` = there is no such channel.
    pub provider_of: &'a dyn Fn(&str) -> Option<&'static str>,
}

/// A request as far as it could be read.
#[derive(Debug)]
pub struct Decoded {
    /// What it asks for: without the routes that could not be read.
    pub batch: Batch,
    /// Where its fields stood.
    pub origins: Origins,
    /// What is wrong with it; the adapters may find more.
    pub faults: Vec<Fault>,
    /// Every route whose channel the caller may not use.
    pub forbidden: Vec<Fault>,
    /// The place in the request of each of the batch's routes.
    pub route_indexes: Vec<usize>,
}

/// Why nothing of a request could be read.
#[derive(Debug)]
pub enum Refusal {
    /// It is no JSON: the parser's words.
    NotJson(String),
    /// It is JSON of another shape.
    Fault(Fault),
}

/// Reads a JSON request.
///
/// # Errors
/// [`Refusal`] if there is nothing to judge; what is wrong in detail is in [`Decoded::faults`].
pub fn decode(text: &str, context: &Context<'_>) -> Result<Decoded, Refusal> {
    let allowance = Allowance::new(context.most_recipients);
    let source = parse(text, &allowance, context.most_routes)?;
    Ok(build(source, &allowance, context))
}

impl From<Unreadable> for Refusal {
    fn from(unreadable: Unreadable) -> Self {
        match unreadable {
            Unreadable::NotJson(detail) => Self::NotJson(detail),
            Unreadable::Fault(fault) => Self::Fault(fault),
        }
    }
}

/// Makes of what was taken apart as much of a request as is sound.
pub fn build(source: Source<'_>, allowance: &Allowance, context: &Context<'_>) -> Decoded {
    let mut fields = Fields::from_members(source.members, "", Numbers::Strict);
    for name in source.repeated {
        fields.fault_at(name, FaultCode::Conflict, "is given twice");
    }
    let mut reader = Reader::new(context, Common::read(&mut fields));
    let client_ref = fields.short_text("client_ref", 128);
    let options = fields
        .object("options", |options| Options::read(options, context.now, context.max_age))
        .unwrap_or_default();
    let mut origins = Origins { top: reader.top.given.clone(), routes: None };
    let routes = match source.routes {
        None => vec![reader.short_form(&mut fields, source.to)],
        Some(routes) => {
            refuse_short_form(&mut fields, source.to.is_some());
            let (routes, given) = reader.full_form(&mut fields, routes);
            origins.routes = Some(given);
            routes
        }
    };
    let forbidden = reader.finish(&mut fields);
    if allowance.is_exceeded() {
        let detail = format!("more than {} recipients", context.most_recipients);
        let pointer = if origins.routes.is_some() { "/routes" } else { "/to" };
        fields.fault(Fault::new(pointer, FaultCode::TooLarge, detail));
    }
    let faults = fields.finish();
    let readable =
        routes.into_iter().enumerate().filter_map(|(index, route)| Some((index, Arc::new(route?))));
    let (route_indexes, routes) = readable.unzip();
    let latest = context.now.checked_add(context.max_age);
    let batch = Batch {
        id: context.id,
        caller: context.caller.name().cloned(),
        client_ref,
        created_at: context.now,
        expires_at: options.expires_at.or(latest).unwrap_or(context.now),
        on_invalid: options.on_invalid,
        retry_unknown: options.retry_unknown,
        routes,
        resend: None,
        callback: None,
    };
    Decoded { batch, origins, faults, forbidden, route_indexes }
}
