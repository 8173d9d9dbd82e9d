//! The block `provider_options.openim` of a route.

use std::sync::Arc;

use crate::adapter::fields::{Fields, Numbers};
use crate::adapter::option_field::{OptionField, OptionShape};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::route::Route;

/// Where the block stands in a route.
pub(super) const POINTER: &str = "/provider_options/openim";

/// Session type of a message from one user to another.
pub(super) const SINGLE_CHAT: u64 = 1;

/// Session type of a notification; it goes with [`super::content::NOTIFICATION`] and nothing else.
pub(super) const NOTIFICATION_CHAT: u64 = 4;

/// The block, for the document of the API.
pub(super) const FIELDS: &[OptionField] = &[
    OptionField::new(
        "session_type",
        OptionShape::Numbers(&[SINGLE_CHAT, NOTIFICATION_CHAT]),
        "1: from one user to another, 4: a notification.",
        "1",
    ),
    OptionField::new("sender_nickname", OptionShape::Text, "Name of the sender to show.", r#""Dave""#),
    OptionField::new(
        "sender_face_url",
        OptionShape::Text,
        "Picture of the sender to show.",
        r#""https://cdn.example.com/dave.png""#,
    ),
    OptionField::new(
        "sender_platform_id",
        OptionShape::Whole(1, MOST_PLATFORM_ID),
        "Platform of the sender, in the provider's numbers.",
        "5",
    ),
    OptionField::new(
        "is_online_only",
        OptionShape::Flag,
        "`true`: the message is not stored, and lost for who is offline.",
        "false",
    ),
    OptionField::new("not_offline_push", OptionShape::Flag, "`true`: no offline push.", "true"),
    OptionField::new(
        "send_time",
        OptionShape::Whole(0, MOST_SEND_TIME),
        "When it was sent, in milliseconds since 1970.",
        "1763737200000",
    ),
    OptionField::new(
        "offline_push_info",
        OptionShape::Fields(PUSH_FIELDS),
        "The notification, in place of the request's `push`.",
        r#"{"title": "Notice"}"#,
    ),
    OptionField::new("ex", OptionShape::Text, "Custom data, in place of the request's `ext`.", r#""c42""#),
    OptionField::new(
        "is_send_all",
        OptionShape::Flag,
        "`true`: to every registered user, where the channel allows it; `to` must be missing or empty.",
        "false",
    ),
];

/// The block `offline_push_info`.
const PUSH_FIELDS: &[OptionField] = &[
    OptionField::new("title", OptionShape::Text, "Title of the notification.", r#""Notice""#),
    OptionField::new("desc", OptionShape::Text, "Text of the notification.", r#""Maintenance at 22:00""#),
    OptionField::new("ex", OptionShape::Text, "Data that the notification carries.", r#""c42""#),
    OptionField::new("ios_push_sound", OptionShape::Text, "Sound file on iOS.", r#""default""#),
    OptionField::new("ios_badge_count", OptionShape::Flag, "`true`: the message counts on the icon.", "true"),
];

/// Largest number of a platform.
///
/// Source: openimsdk/protocol `constant/platform_id_to_name.go`, read 2026-11-21.
const MOST_PLATFORM_ID: u64 = 11;

/// Latest `sendTime`: the server keeps it in 64 bits with a sign.
const MOST_SEND_TIME: u64 = i64::MAX.unsigned_abs();

/// What a caller may say about a send beyond the normalized fields. `None` = not given, and left out.
///
/// Source: OpenIM, batch send message, parameter table; the two booleans that the table calls strings are
/// booleans in its example and in `pkg/apistruct/manage.go`, read 2026-11-21.
#[derive(Debug, Default)]
pub(super) struct Options {
    /// `sessionType`: 1 or 4.
    pub(super) session_type: Option<u64>,
    /// `senderNickname`.
    pub(super) sender_nickname: Option<Arc<str>>,
    /// `senderFaceURL`.
    pub(super) sender_face_url: Option<Arc<str>>,
    /// `senderPlatformID`.
    pub(super) sender_platform_id: Option<u64>,
    /// `isOnlineOnly`: not stored, lost for who is offline.
    pub(super) is_online_only: Option<bool>,
    /// `notOfflinePush`.
    pub(super) not_offline_push: Option<bool>,
    /// `sendTime`, in milliseconds since 1970.
    pub(super) send_time: Option<u64>,
    /// `offlinePushInfo`.
    pub(super) offline_push_info: Option<PushInfo>,
    /// `ex`.
    pub(super) ex: Option<Arc<str>>,
    /// `isSendAll`: to every registered user.
    pub(super) is_send_all: Option<bool>,
}

/// The notification of an offline push. `None` = not given, and left out.
#[derive(Debug, Default, Clone)]
pub(super) struct PushInfo {
    /// `title`.
    pub(super) title: Option<Arc<str>>,
    /// `desc`.
    pub(super) desc: Option<Arc<str>>,
    /// `ex`.
    pub(super) ex: Option<Arc<str>>,
    /// `iOSPushSound`.
    pub(super) ios_push_sound: Option<Arc<str>>,
    /// `iOSBadgeCount`.
    pub(super) ios_badge_count: Option<bool>,
}

impl Options {
    /// Reads the block of `route`; every fault goes to `faults`.
    pub(super) fn read(route: &Route, faults: &mut Vec<Fault>) -> Self {
        let Some(json) = &route.provider_options else {
            return Self::default();
        };
        match Fields::parse(json.as_str(), POINTER, Numbers::Strict) {
            Ok(mut fields) => {
                let mut options = Self::take(&mut fields);
                if route.only.is_some() && options.is_send_all == Some(true) {
                    // A resend names whom the first answer listed; nobody else may get the message again.
                    options.is_send_all = Some(false);
                }
                faults.extend(fields.finish());
                options
            }
            Err(fault) => {
                faults.push(fault);
                Self::default()
            }
        }
    }

    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            session_type: take_session_type(fields),
            sender_nickname: fields.text("sender_nickname"),
            sender_face_url: fields.text("sender_face_url"),
            sender_platform_id: fields.u64("sender_platform_id", 1..=MOST_PLATFORM_ID),
            is_online_only: fields.bool("is_online_only"),
            not_offline_push: fields.bool("not_offline_push"),
            send_time: fields.u64("send_time", 0..=MOST_SEND_TIME),
            offline_push_info: fields.object("offline_push_info", |fields| Some(PushInfo::take(fields))),
            ex: fields.text("ex"),
            is_send_all: fields.bool("is_send_all"),
        }
    }
}

impl PushInfo {
    fn take(fields: &mut Fields<'_>) -> Self {
        Self {
            title: fields.text("title"),
            desc: fields.text("desc"),
            ex: fields.text("ex"),
            ios_push_sound: fields.text("ios_push_sound"),
            ios_badge_count: fields.bool("ios_badge_count"),
        }
    }
}

fn take_session_type(fields: &mut Fields<'_>) -> Option<u64> {
    let session_type = fields.u64("session_type", SINGLE_CHAT..=NOTIFICATION_CHAT)?;
    if session_type == SINGLE_CHAT || session_type == NOTIFICATION_CHAT {
        return Some(session_type);
    }
    fields.fault_at(
        "session_type",
        FaultCode::OutOfRange,
        "must be 1 (single chat) or 4 (notification); groups cannot be sent to here",
    );
    None
}
