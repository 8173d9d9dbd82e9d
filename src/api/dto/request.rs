//! From the text of a request to a batch.
//!
//! Every fault is found at once; what only a provider's adapter can judge is left to the plan, whose pointers
//! [`Origins`] puts in their place.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::adapter::fields::{Fields, Numbers};
use crate::api::dto::entries::{Allowance, Entries};
use crate::api::dto::message::{read_message, read_push};
use crate::api::dto::options::Options;
use crate::api::dto::source::{Routes, Shape, Source, Unreadable, parse};
use crate::domain::batch::Batch;
use crate::domain::fault::{Fault, FaultCode, pointer_token};
use crate::domain::id::{BatchId, ChannelName};
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::message::{Message, MessageType};
use crate::domain::recipients::RecipientList;
use crate::domain::route::{Push, Route, TargetType};

/// Fields that a route may leave to the top of the request.
const INHERITED: [&str; 5] = ["message", "ext", "push", "from", "provider_options"];

/// Fields that belong to the short form only.
const SHORT_FORM: [&str; 2] = ["channel", "target_type"];

/// The option with which a request names no recipients: whomever the provider's answer lists.
const SEND_TO_ALL: &str = "is_send_all";

/// What a request is read against.
pub struct Context<'a> {
    /// The name of the batch it becomes.
    pub id: BatchId,
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

/// A request that could be read.
#[derive(Debug)]
pub struct Decoded {
    /// What it asks for.
    pub batch: Batch,
    /// Where its fields stood.
    pub origins: Origins,
}

/// Why a request is refused before any plan.
#[derive(Debug)]
pub enum Refusal {
    /// It is no JSON: the parser's words.
    NotJson(String),
    /// It breaks rules.
    Faults(Vec<Fault>),
}

/// Where the fields of each route stood in the request.
#[derive(Debug, Default)]
pub struct Origins {
    top: Vec<&'static str>,
    /// One per route; `None` = the short form.
    routes: Option<Vec<Vec<&'static str>>>,
}

impl Origins {
    /// The pointer into the request for one that is relative to a route.
    #[must_use]
    pub fn place(&self, route_index: usize, pointer: &str) -> String {
        let Some(routes) = &self.routes else {
            return pointer.to_owned();
        };
        let field = pointer.split('/').nth(1).unwrap_or_default();
        let own = routes.get(route_index).map(Vec::as_slice).unwrap_or_default();
        if !own.contains(&field) && self.top.contains(&field) {
            pointer.to_owned()
        } else {
            format!("/routes/{route_index}{pointer}")
        }
    }
}

/// Reads a JSON request.
///
/// # Errors
/// [`Refusal`] with every fault.
pub fn decode(text: &str, context: &Context<'_>) -> Result<Decoded, Refusal> {
    let allowance = Allowance::new(context.most_recipients);
    match parse(text, &allowance, context.most_routes) {
        Ok(source) => build(source, &allowance, context),
        Err(Unreadable::NotJson(detail)) => Err(Refusal::NotJson(detail)),
        Err(Unreadable::Fault(fault)) => Err(Refusal::Faults(vec![fault])),
    }
}

/// Reads a stream of lines: first the short form without `to`, then one recipient a line; empty lines are
/// skipped.
///
/// # Errors
/// [`Refusal`] with every fault; pointers of recipients count the recipients, not the lines.
pub fn decode_lines(text: &str, context: &Context<'_>) -> Result<Decoded, Refusal> {
    let allowance = Allowance::new(context.most_recipients);
    let mut lines = text.lines().enumerate();
    let head = lines.next().map_or("", |(_, line)| line);
    let mut source = match parse(head, &allowance, context.most_routes) {
        Ok(source) => source,
        Err(Unreadable::NotJson(detail)) => return Err(Refusal::NotJson(format!("line 1: {detail}"))),
        Err(Unreadable::Fault(fault)) => return Err(Refusal::Faults(vec![fault])),
    };
    let mut entries = Entries::new(&allowance);
    if source.to.is_some() || source.routes.is_some() {
        let detail = "the first line is the short form without `to`; recipients follow, one a line";
        entries.fault(Fault::new("", FaultCode::Conflict, detail));
    }
    for (line_index, line) in lines {
        let line = line.trim_matches([' ', '\t']);
        if line.is_empty() {
            continue;
        }
        if let Err(error) = serde_json::from_str::<&serde_json::value::RawValue>(line) {
            return Err(Refusal::NotJson(format!("line {}: {error}", line_index + 1)));
        }
        entries.read(line);
    }
    source.to = Some(Shape::Right(entries));
    source.routes = None;
    build(source, &allowance, context)
}

fn build(source: Source<'_, '_>, allowance: &Allowance, context: &Context<'_>) -> Result<Decoded, Refusal> {
    let mut fields = Fields::from_members(source.members, "", Numbers::Strict);
    for name in source.repeated {
        fields.fault_at(name, FaultCode::Conflict, "is given twice");
    }
    let mut reader = Reader {
        context,
        top: Common::read(&mut fields),
        uses: Vec::new(),
    };
    let client_ref = fields.short_text("client_ref", 128);
    let options = fields
        .object("options", |options| {
            Options::read(options, context.now, context.max_age)
        })
        .unwrap_or_default();
    let mut origins = Origins {
        top: reader.top.given.clone(),
        routes: None,
    };
    let routes = match source.routes {
        None => vec![reader.short_form(&mut fields, source.to)],
        Some(routes) => {
            refuse_short_form(&mut fields, source.to.is_some());
            let (routes, given) = reader.full_form(&mut fields, routes);
            origins.routes = Some(given);
            routes
        }
    };
    reader.finish(&mut fields);
    if allowance.is_exceeded() {
        let detail = format!("more than {} recipients", context.most_recipients);
        let pointer = if origins.routes.is_some() {
            "/routes"
        } else {
            "/to"
        };
        fields.fault(Fault::new(pointer, FaultCode::TooLarge, detail));
    }
    let faults = fields.finish();
    let route_count = routes.len();
    let routes: Vec<_> = routes.into_iter().flatten().map(Arc::new).collect();
    if !faults.is_empty() || routes.len() != route_count {
        return Err(Refusal::Faults(faults));
    }
    let latest = context.now.checked_add(context.max_age);
    let batch = Batch {
        id: context.id,
        client_ref,
        created_at: context.now,
        expires_at: options.expires_at.or(latest).unwrap_or(context.now),
        on_invalid: options.on_invalid,
        retry_unknown: options.retry_unknown,
        routes,
        resend_of: None,
    };
    Ok(Decoded { batch, origins })
}

fn refuse_short_form(fields: &mut Fields<'_>, has_to: bool) {
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

/// The fields that the top may give for every route.
#[derive(Clone, Default)]
struct Common {
    message: Option<Arc<Message>>,
    ext: Option<TextOrJson>,
    push: Option<Push>,
    from: Option<Arc<str>>,
    provider_options: Vec<(String, JsonText)>,
    /// Which of them were given, sound or not.
    given: Vec<&'static str>,
}

impl Common {
    fn read(fields: &mut Fields<'_>) -> Self {
        let given = INHERITED.into_iter().filter(|name| fields.has(name)).collect();
        Self {
            message: fields.object("message", read_message).map(Arc::new),
            ext: fields.text_or_object("ext"),
            push: fields.object("push", read_push),
            from: fields.id("from"),
            provider_options: fields
                .object("provider_options", |options| Some(read_blocks(options)))
                .unwrap_or_default(),
            given,
        }
    }

    fn has(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// The same where a route gave nothing of its own.
    fn under(mut self, top: &Self) -> Self {
        let is_missing = |name: &str| !self.given.contains(&name);
        if is_missing("message") {
            self.message.clone_from(&top.message);
        }
        if is_missing("ext") {
            self.ext.clone_from(&top.ext);
        }
        if is_missing("push") {
            self.push.clone_from(&top.push);
        }
        if is_missing("from") {
            self.from.clone_from(&top.from);
        }
        if is_missing("provider_options") {
            self.provider_options.clone_from(&top.provider_options);
        }
        self
    }
}

fn read_blocks(fields: &mut Fields<'_>) -> Vec<(String, JsonText)> {
    let names: Vec<String> = fields.names().map(str::to_owned).collect();
    let blocks = names.into_iter().map(|name| {
        let block = fields.json_object(&name);
        block.map(|block| (name, block))
    });
    blocks.collect::<Vec<_>>().into_iter().flatten().collect()
}

/// A route's provider, as far as its channel is known, and which fields it left to the top.
struct Use {
    provider: Option<&'static str>,
    inherits_message: bool,
    inherits_options: bool,
}

struct Reader<'c> {
    context: &'c Context<'c>,
    top: Common,
    uses: Vec<Use>,
}

impl Reader<'_> {
    fn short_form(&mut self, fields: &mut Fields<'_>, to: Option<Shape<Entries<'_>>>) -> Option<Route> {
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

    fn full_form(
        &mut self,
        fields: &mut Fields<'_>,
        routes: Shape<Routes<'_, '_>>,
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
        to: Option<Shape<Entries<'_>>>,
        common: Common,
        is_short: bool,
    ) -> Option<Route> {
        let channel = fields.text("channel");
        let provider = channel.as_deref().and_then(self.context.provider_of);
        if let (Some(name), None) = (&channel, provider) {
            let detail = format!("no channel is named `{name}`");
            fields.fault_at("channel", FaultCode::UnknownChannel, detail);
        }
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
        let is_for_all = provider_options.as_ref().is_some_and(is_send_to_all);
        let to = read_to(fields, to, is_for_all);
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
        })
    }

    /// Judges what the top gives for all routes, once their providers are known.
    fn finish(self, fields: &mut Fields<'_>) {
        let is_native = self
            .top
            .message
            .is_some_and(|message| message.message_type() == MessageType::Native);
        let heirs = || self.uses.iter().filter(|user| user.inherits_message);
        let first = heirs().find_map(|user| user.provider);
        if is_native && heirs().any(|user| user.provider.is_some() && user.provider != first) {
            let detail = "a native message serves one provider: give each route its own";
            fields.fault(Fault::new("/message/type", FaultCode::Conflict, detail));
        }
        if self.uses.iter().any(|user| user.provider.is_none()) {
            return;
        }
        for (name, _) in &self.top.provider_options {
            let is_used = |user: &Use| user.inherits_options && user.provider == Some(name.as_str());
            if !self.uses.iter().any(is_used) {
                let pointer = format!("/provider_options/{}", pointer_token(name));
                let detail = format!("no route of this request reads `{name}` from here");
                fields.fault(Fault::new(pointer, FaultCode::Unsupported, detail));
            }
        }
    }
}

fn read_to(
    fields: &mut Fields<'_>,
    to: Option<Shape<Entries<'_>>>,
    is_for_all: bool,
) -> Option<RecipientList> {
    let (list, faults) = match to {
        Some(Shape::Right(entries)) => entries.into_parts(),
        Some(Shape::Other) => {
            fields.fault_at("to", FaultCode::WrongType, "must be an array");
            return None;
        }
        None => (RecipientList::default(), Vec::new()),
    };
    if list.is_empty() && faults.is_empty() && !is_for_all {
        let detail = "at least one recipient is needed";
        fields.fault_at("to", FaultCode::Required, detail);
        return None;
    }
    let is_sound = faults.is_empty();
    for fault in faults {
        fields.fault(fault.within("/to"));
    }
    is_sound.then_some(list)
}

fn is_send_to_all(block: &JsonText) -> bool {
    Fields::parse(block.as_str(), "", Numbers::Strict)
        .ok()
        .and_then(|mut fields| fields.raw(SEND_TO_ALL))
        .is_some_and(|raw| raw.get() == "true")
}
