//! One channel with its recipients inside a batch.

use std::sync::Arc;

use crate::domain::id::ChannelName;
use crate::domain::json::{JsonText, TextOrJson};
use crate::domain::message::Message;
use crate::domain::recipients::RecipientList;

/// One route of a batch: everything that one adapter needs to translate.
#[derive(Clone, Debug, PartialEq)]
pub struct Route {
    /// The channel that sends.
    pub channel: ChannelName,
    /// The visible sender; `None` = the caller gave none and the channel has no default.
    pub sender: Option<Arc<str>>,
    /// The entries of `to`, in the caller's order, repeats included.
    pub to: Arc<RecipientList>,
    /// What the ids of `to` name; `None` = what the provider naturally targets.
    pub target_type: Option<TargetType>,
    /// What is sent.
    pub message: Arc<Message>,
    /// Custom data that travels with the message.
    pub ext: Option<TextOrJson>,
    /// Offline push.
    pub push: Option<Push>,
    /// The block of `provider_options` that belongs to this route's provider: always an object.
    pub provider_options: Option<JsonText>,
    /// The same block where a batch is kept and the block holds credentials of the caller: sealed, and
    /// `provider_options` is `None`.
    pub sealed_options: Option<Arc<[u8]>>,
    /// The recipients of a resend, in place of those that `to` or the provider's options name; `None` = all of
    /// those.
    pub only: Option<Arc<RecipientList>>,
}

/// What a recipient id names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TargetType {
    /// A single user.
    User,
    /// A group of users.
    Group,
    /// A chatroom.
    Chatroom,
}

impl TargetType {
    /// Every target type, in the order of the API document.
    pub const ALL: [Self; 3] = [Self::User, Self::Group, Self::Chatroom];

    /// The name in the API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Group => "group",
            Self::Chatroom => "chatroom",
        }
    }
}

/// Offline push. `None` = the caller did not say; nothing is sent for it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Push {
    /// `true` = no offline push.
    pub disabled: Option<bool>,
    /// Title of the notification.
    pub title: Option<Arc<str>>,
    /// Text of the notification.
    pub body: Option<Arc<str>>,
    /// Data that the notification carries.
    pub ext: Option<TextOrJson>,
    /// Sound file on iOS.
    pub ios_sound: Option<Arc<str>>,
    /// `true` = the message counts on the icon.
    pub ios_badge: Option<bool>,
    /// Sound file on Android.
    pub android_sound: Option<Arc<str>>,
}
