//! `provider_options.tencent_tim`: the request fields that only this provider has.

use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::option_field::{OptionField, OptionShape};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::json::JsonText;
use crate::providers::tencent_tim::NAME;

/// Longest time that a message is kept for recipients who are offline, in seconds: 7 days.
///
/// Source: batch one-to-one messages, `MsgLifeTime`, and error 90026, read 2026-11-21.
const LONGEST_LIFE_SECONDS: u64 = 604_800;

/// Words of `SendMsgControl`.
///
/// Source: batch one-to-one messages, `SendMsgControl`, read 2026-11-21.
const CONTROLS: [&str; 3] = ["NoUnread", "NoLastMsg", "WithMuteNotifications"];

/// The block, for the document of the API.
pub(super) const FIELDS: &[OptionField] = &[
    OptionField::new(
        "msg_seq",
        OptionShape::Whole(0, 4_294_967_295),
        "Order and de-duplication within one second.",
        "42",
    ),
    OptionField::new(
        "sync_to_sender",
        OptionShape::Flag,
        "Whether the sender's own devices and history get the message.",
        "true",
    ),
    OptionField::new(
        "msg_life_time",
        OptionShape::Whole(0, LONGEST_LIFE_SECONDS),
        "How long it is kept for recipients who are offline, in seconds.",
        "604800",
    ),
    OptionField::new("online_only_flag", OptionShape::Whole(0, 1), "1: only recipients who are online.", "1"),
    OptionField::new(
        "send_msg_control",
        OptionShape::WordList(&CONTROLS),
        "Which counters and lists the message leaves alone.",
        r#"["NoUnread"]"#,
    ),
    OptionField::new(
        "cloud_custom_data",
        OptionShape::Text,
        "Custom data, in place of the request's `ext`.",
        r#""c42""#,
    ),
    OptionField::new(
        "offline_push_info",
        OptionShape::Object,
        "The notification, in place of the request's `push`.",
        r#"{"PushFlag": 0, "Title": "Notice"}"#,
    ),
];

/// The options, checked; `None` = not given.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// `MsgSeq`: order and de-duplication within one second.
    pub(super) msg_seq: Option<u32>,
    /// `SyncOtherMachine`: whether the sender's own devices and history get the message.
    pub(super) sync_to_sender: Option<bool>,
    /// `MsgLifeTime` in seconds, 0 to 604800.
    pub(super) msg_life_time: Option<u64>,
    /// `OnlineOnlyFlag`, 0 or 1; 1 = only recipients who are online.
    pub(super) online_only_flag: Option<u64>,
    /// `SendMsgControl` as a JSON array.
    pub(super) send_msg_control: Option<String>,
    /// `CloudCustomData`.
    pub(super) cloud_custom_data: Option<String>,
    /// `OfflinePushInfo`, passed on as it is.
    pub(super) offline_push_info: Option<JsonText>,
}

/// Where an option stands.
pub(super) fn pointer(name: &str) -> String {
    format!("/provider_options/{NAME}/{name}")
}

/// Reads the block; faults are added to `faults`.
pub(super) fn read(block: Option<&JsonText>, faults: &mut Vec<Fault>) -> Options {
    let Some(block) = block else {
        return Options::default();
    };
    match Fields::parse(block.as_str(), format!("/provider_options/{NAME}"), Numbers::Strict) {
        Ok(mut fields) => {
            let options = Options {
                msg_seq: fields.u32("msg_seq"),
                sync_to_sender: fields.bool("sync_to_sender"),
                msg_life_time: fields.u64("msg_life_time", 0..=LONGEST_LIFE_SECONDS),
                online_only_flag: fields.u64("online_only_flag", 0..=1),
                send_msg_control: read_controls(&mut fields),
                cloud_custom_data: fields.text("cloud_custom_data").map(|text| text.to_string()),
                offline_push_info: fields.json_object("offline_push_info"),
            };
            faults.extend(fields.finish());
            options
        }
        Err(fault) => {
            faults.push(fault);
            Options::default()
        }
    }
}

fn read_controls(fields: &mut Fields<'_>) -> Option<String> {
    let words = fields.texts("send_msg_control")?;
    for (index, word) in words.iter().enumerate() {
        if !CONTROLS.contains(&&**word) {
            fields.fault(Fault::new(
                format!("/send_msg_control/{index}"),
                FaultCode::OutOfRange,
                format!("must be one of: {}", CONTROLS.join(", ")),
            ));
        }
    }
    // The words need no escapes: every other one is a fault.
    Some(format!("[{}]", words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(",")))
}
