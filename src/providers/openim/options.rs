//! The block `provider_options.openim` of a route.

use std::sync::Arc;

use crate::adapter::fields::{Fields, Numbers};
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::route::Route;

/// Where the block stands in a route.
pub(super) const POINTER: &str = "/provider_options/openim";

/// Session type of a message from one user to another.
pub(super) const SINGLE_CHAT: u64 = 1;

/// Session type of a notification; it goes with [`super::content::NOTIFICATION`] and nothing else.
pub(super) const NOTIFICATION_CHAT: u64 = 4;

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
            // Source: openimsdk/protocol `constant/platform_id_to_name.go`, read 2026-11-21.
            sender_platform_id: fields.u64("sender_platform_id", 1..=11),
            is_online_only: fields.bool("is_online_only"),
            not_offline_push: fields.bool("not_offline_push"),
            // The server keeps it in 64 bits with a sign.
            send_time: fields.u64("send_time", 0..=i64::MAX.unsigned_abs()),
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
