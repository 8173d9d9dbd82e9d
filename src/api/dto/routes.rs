//! Reads the routes of a request: the one of the short form, or those in `routes`.

use std::sync::Arc;

use crate::adapter::fields::{Fields, Numbers};
use crate::api::dto::common::Common;
use crate::api::dto::entries::Entries;
use crate::api::dto::request::Context;
use crate::api::dto::source::{Routes, Shape};
use crate::domain::fault::{Fault, FaultCode, pointer_token};
use crate::domain::id::ChannelName;
use crate::domain::message::MessageType;
use crate::domain::recipients::RecipientList;
use crate::domain::route::{Route, TargetType};

/// Fields that belong to the short form only.
const SHORT_FORM: [&str; 2] = ["channel", "target_type"];

/// Refuses what belongs to the short form beside `routes`.
pub fn refuse_short_form(fields: &mut Fields<'_>, has_to: bool) {
    let detail = |name: &str| format!("`{name}` stands beside `routes`: give one or the other");
    for name in SHORT_FORM {
        if fields.raw(name).is_some() {
            fields.fault_at(name, FaultCode::Conflict, detail(name));
        }
    }
    if has_to {
        fields.fault_at("to", FaultCode::Conflict, detail("to"));
    }
}

/// A route's provider, as far as its channel is known, and which fields it left to the top.
struct Use {
    provider: Option<&'static str>,
    inherits_message: bool,
    inherits_options: bool,
}

/// Reads routes.
pub struct Reader<'c> {
    context: &'c Context<'c>,
    /// What the top gives.
    pub top: Common,
    uses: Vec<Use>,
    forbidden: Vec<Fault>,
}

impl<'c> Reader<'c> {
    /// Starts with what the top gives.
    #[must_use]
    pub const fn new(context: &'c Context<'c>, top: Common) -> Self {
        Self { context, top, uses: Vec::new(), forbidden: Vec::new() }
    }

    /// Reads the only route of the short form; `None` = a fault was added.
    pub fn short_form(&mut self, fields: &mut Fields<'_>, to: Option<Shape<Entries>>) -> Option<Route> {
        if !fields.has("channel") {
            let detail = "give `channel` and `to`, or `routes`";
            fields.fault_at("channel", FaultCode::Required, detail);
        }
        if !self.top.has("message") {
            fields.fault_at("message", FaultCode::Required, "`message` is required");
        }
        let common = self.top.clone();
        self.route(fields, to, common, true)
    }

    /// Reads `routes`: each route, and which fields each gave itself.
    pub fn full_form(
        &mut self,
        fields: &mut Fields<'_>,
        routes: Shape<Routes<'_>>,
    ) -> (Vec<Option<Route>>, Vec<Vec<&'static str>>) {
        let Shape::Right(routes) = routes else {
            fields.fault_at("routes", FaultCode::WrongType, "must be an array of objects");
            return (vec![None], Vec::new());
        };
        if routes.count == 0 {
            fields.fault_at("routes", FaultCode::Required, "at least one route is needed");
        }
        if routes.count > self.context.most_routes {
            let detail = format!("more than {} routes", self.context.most_routes);
            fields.fault_at("routes", FaultCode::TooLarge, detail);
        }
        let mut read = Vec::with_capacity(routes.list.len());
        let mut given = Vec::with_capacity(routes.list.len());
        for (index, route) in routes.list.into_iter().enumerate() {
            let pointer = format!("/routes/{index}");
            let Shape::Right(source) = route else {
                fields.fault(Fault::new(pointer, FaultCode::WrongType, "must be an object"));
                given.push(Vec::new());
                read.push(None);
                continue;
            };
            let mut inner = Fields::from_members(source.members, pointer, Numbers::Strict);
            for name in source.repeated {
                inner.fault_at(name, FaultCode::Conflict, "is given twice");
            }
            if !inner.has("channel") {
                inner.fault_at("channel", FaultCode::Required, "`channel` is required");
            }
            let own = Common::read(&mut inner);
            if !own.has("message") && !self.top.has("message") {
                let detail = "`message` is required, here or at the top of the request";
                inner.fault_at("message", FaultCode::Required, detail);
            }
            given.push(own.given.clone());
            let common = own.under(&self.top);
            read.push(self.route(&mut inner, source.to, common, false));
            fields.extend_faults(inner.finish());
        }
        (read, given)
    }

    /// Reads the rest of a route; `common` is its own fields over those of the top.
    fn route(
        &mut self,
        fields: &mut Fields<'_>,
        to: Option<Shape<Entries>>,
        common: Common,
        is_short: bool,
    ) -> Option<Route> {
        let channel = fields.text("channel");
        let provider = channel.as_deref().and_then(|name| self.provider_of(fields, name));
        self.uses.push(Use {
            provider,
            inherits_message: is_short || !common.has("message"),
            inherits_options: is_short || !common.has("provider_options"),
        });
        if let Some(provider) = provider
            && !is_short
            && common.has("provider_options")
        {
            let foreign = common.provider_options.iter().map(|(name, _)| name);
            for name in foreign.filter(|name| *name != provider) {
                let pointer = format!("/provider_options/{}", pointer_token(name));
                let detail = format!("this route goes to {provider}, which does not read `{name}`");
                fields.fault(Fault::new(pointer, FaultCode::Unsupported, detail));
            }
        }
        let provider_options = common
            .provider_options
            .into_iter()
            .find(|(name, _)| Some(name.as_str()) == provider)
            .map(|(_, block)| block);
        let to = read_to(fields, to);
        let is_plannable = provider.is_some() && common.message.is_some();
        if !is_plannable && to.as_ref().is_some_and(RecipientList::is_empty) {
            // Otherwise the adapter says so, which may know of recipients that no request names.
            fields.fault_at("to", FaultCode::Required, "at least one recipient is needed");
        }
        let target_types = TargetType::ALL.map(|target_type| (target_type.as_str(), target_type));
        let target_type = fields.choice("target_type", &target_types);
        Some(Route {
            channel: ChannelName::parse(&channel?)?,
            sender: common.from,
            to: Arc::new(to?),
            target_type,
            message: common.message?,
            ext: common.ext,
            push: common.push,
            provider_options,
            sealed_options: None,
            only: None,
        })
    }

    /// The provider behind a route's channel; without one, or without the right to it, a fault was added.
    fn provider_of(&mut self, fields: &mut Fields<'_>, channel: &str) -> Option<&'static str> {
        if !self.context.caller.may_use(channel) {
            let detail = format!("this key may not use the channel `{channel}`");
            let pointer = format!("{}/channel", fields.pointer());
            self.forbidden.push(Fault::new(pointer, FaultCode::NotAllowed, detail));
        }
        let provider = (self.context.provider_of)(channel);
        if provider.is_none() {
            let detail = format!("no channel is named `{channel}`");
            fields.fault_at("channel", FaultCode::UnknownChannel, detail);
        }
        provider
    }

    /// Judges what the top gives for all routes, once their providers are known; what it returns are the
    /// routes whose channels the caller may not use.
    pub fn finish(self, fields: &mut Fields<'_>) -> Vec<Fault> {
        let is_native =
            self.top.message.as_ref().is_some_and(|message| message.message_type() == MessageType::Native);
        let heirs = || self.uses.iter().filter(|user| user.inherits_message);
        let first = heirs().find_map(|user| user.provider);
        if is_native && heirs().any(|user| user.provider.is_some() && user.provider != first) {
            let detail = "a native message serves one provider: give each route its own";
            fields.fault(Fault::new("/message/type", FaultCode::Conflict, detail));
        }
        if self.uses.iter().any(|user| user.provider.is_none()) {
            return self.forbidden;
        }
        for (name, _) in &self.top.provider_options {
            let is_used = |user: &Use| user.inherits_options && user.provider == Some(name.as_str());
            if !self.uses.iter().any(is_used) {
                let pointer = format!("/provider_options/{}", pointer_token(name));
                let detail = format!("no route of this request reads `{name}` from here");
                fields.fault(Fault::new(pointer, FaultCode::Unsupported, detail));
            }
        }
        self.forbidden
    }
}

/// Reads `to`; whether it may be empty is for the provider's adapter to say.
fn read_to(fields: &mut Fields<'_>, to: Option<Shape<Entries>>) -> Option<RecipientList> {
    let entries = match to {
        Some(Shape::Right(entries)) => entries,
        Some(Shape::Other) => {
            fields.fault_at("to", FaultCode::WrongType, "must be an array");
            return None;
        }
        None => return Some(RecipientList::default()),
    };
    let (list, faults) = entries.into_parts();
    let is_sound = faults.is_empty();
    for fault in faults {
        fields.fault(fault.within("/to"));
    }
    is_sound.then_some(list)
}
