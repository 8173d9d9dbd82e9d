//! The fields that the top of a request may give for every route.

use std::sync::Arc;

use crate::adapter::fields::Fields;
use crate::api::dto::message::{read_message, read_push};
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::message::Message;
use crate::domain::route::Push;

/// Fields that a route may leave to the top of the request.
const INHERITED: [&str; 5] = ["message", "ext", "push", "from", "provider_options"];

/// The fields that the top may give for every route.
#[derive(Clone, Default)]
pub struct Common {
    /// What is sent.
    pub message: Option<Arc<Message>>,
    /// Custom data.
    pub ext: Option<TextOrJson>,
    /// Offline push.
    pub push: Option<Push>,
    /// The visible sender.
    pub from: Option<Arc<str>>,
    /// Blocks by provider, in the caller's order.
    pub provider_options: Vec<(String, JsonText)>,
    /// Which of them were given, sound or not.
    pub given: Vec<&'static str>,
}

impl Common {
    /// Reads them from the top or from a route.
    pub fn read(fields: &mut Fields<'_>) -> Self {
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

    /// Whether this field was given, sound or not.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.given.contains(&name)
    }

    /// The same where a route gave nothing of its own.
    #[must_use]
    pub fn under(mut self, top: &Self) -> Self {
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

/// Where the fields of each route stood in the request.
#[derive(Debug, Default)]
pub struct Origins {
    /// Fields of `INHERITED` that the top gave.
    pub top: Vec<&'static str>,
    /// The same of every route; `None` = the short form.
    pub routes: Option<Vec<Vec<&'static str>>>,
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
