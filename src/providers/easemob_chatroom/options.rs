//! The block `provider_options.easemob_chatroom`.

use std::sync::Arc;

use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::option_field::{OptionField, OptionShape};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::route::Route;

/// Most users who are kept from fetching a message later.
///
/// Source: Easemob, send chatroom messages, `roam_ignore_users`, read 2026-11-21.
const MOST_ROAM_IGNORE_USERS: usize = 20;

const POINTER: &str = "/provider_options/easemob_chatroom";

const LEVELS: [(&str, &str); 3] = [("high", "high"), ("normal", "normal"), ("low", "low")];

/// The block, for the document of the API.
pub(super) const FIELDS: &[OptionField] = &[
    OptionField::new(
        "chatroom_msg_level",
        OptionShape::Words(&["high", "normal", "low"]),
        "Which messages are dropped first under load; default: `normal`.",
        r#""high""#,
    ),
    OptionField::new(
        "roam_ignore_users",
        OptionShape::Ids(0, Some(MOST_ROAM_IGNORE_USERS)),
        "Users who do not get the message when they fetch history.",
        r#"["rong"]"#,
    ),
    OptionField::new(
        "users",
        OptionShape::Ids(1, None),
        "Members who alone see the message; they are then the recipients, and `to` names one room.",
        r#"["bonnie", "rong"]"#,
    ),
    OptionField::new(
        "ext",
        OptionShape::Object,
        "Custom data, in place of the request's `ext`.",
        r#"{"campaign": "c42"}"#,
    ),
];

/// Every field of the request that is no part of the message.
#[derive(Default)]
pub(super) struct Options {
    /// Which messages are dropped first under load: `high`, `normal` or `low`; `None` = the provider's normal.
    pub(super) level: Option<&'static str>,
    /// Users who do not get the message when they fetch history; may be empty.
    pub(super) roam_ignore_users: Option<Vec<Arc<str>>>,
    /// Members who alone see the message, at least one; `None` = whole rooms.
    pub(super) users: Option<Vec<Arc<str>>>,
    /// Custom data: always an object.
    pub(super) ext: Option<JsonText>,
}

impl Options {
    /// Reads the block, and the route's own `ext` that goes into the same place.
    pub(super) fn read(route: &Route, faults: &mut Vec<Fault>) -> Self {
        let mut options = Self::default();
        if let Some(block) = &route.provider_options {
            match Fields::parse(block.as_str(), POINTER, Numbers::Strict) {
                Ok(mut fields) => {
                    options.read_block(&mut fields);
                    if route.ext.is_some() && options.ext.is_some() {
                        fields.fault_at(
                            "ext",
                            FaultCode::Conflict,
                            "`ext` is also given in the request itself",
                        );
                    }
                    faults.extend(fields.finish());
                }
                Err(fault) => faults.push(fault),
            }
        }
        match &route.ext {
            Some(TextOrJson::Json(json)) if json.is_object() => options.ext = Some(json.clone()),
            Some(TextOrJson::Json(_) | TextOrJson::Text(_)) => {
                faults.push(Fault::new("/ext", FaultCode::WrongType, "easemob_chatroom takes only an object"))
            }
            None => {}
        }
        options
    }

    fn read_block(&mut self, fields: &mut Fields<'_>) {
        self.level = fields.choice("chatroom_msg_level", &LEVELS);
        self.roam_ignore_users = fields.ids("roam_ignore_users");
        let ignored = self.roam_ignore_users.as_ref().map_or(0, Vec::len);
        if ignored > MOST_ROAM_IGNORE_USERS {
            fields.fault_at(
                "roam_ignore_users",
                FaultCode::TooLarge,
                format!("has {ignored} entries, at most {MOST_ROAM_IGNORE_USERS} are allowed"),
            );
        }
        self.users = fields.ids("users");
        if self.users.as_ref().is_some_and(Vec::is_empty) {
            // An empty list must never turn into a message to the whole room.
            fields.fault_at("users", FaultCode::OutOfRange, "must name at least one member");
        }
        self.ext = fields.json_object("ext");
    }
}
