//! The `[[keys]]` tables.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::adapter::fields::Fields;
use crate::api::keys::key::KeyDigest;
use crate::domain::fault::{Fault, FaultCode};
use crate::domain::id::ChannelName;

/// Longest name and id, in characters.
const MOST_CHARACTERS: usize = 64;

/// One configured key. Meanings: `config/default.toml`.
#[derive(Clone, Debug)]
pub struct KeySettings {
    /// The caller: 1 to 64 characters of `A-Z`, `a-z`, `0-9`, `.`, `_` and `-`.
    pub name: Arc<str>,
    /// The public part of the key; `None` = the key is known by its digest alone.
    pub id: Option<Arc<str>>,
    /// The SHA-256 of the whole key.
    pub digest: KeyDigest,
    /// What the caller may do; the same for all keys of one name.
    pub rights: Rights,
}

/// What a caller may do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// The channels it may use; `None` = all.
    pub channels: Option<BTreeSet<ChannelName>>,
    /// Whether it sees every caller's batches.
    pub is_operator: bool,
    /// Most sends in a second; `None` = any number.
    pub batches_per_second: Option<NonZeroU32>,
    /// Most recipients in a minute; `None` = any number.
    pub recipients_per_minute: Option<NonZeroU32>,
}

/// Reads all tables out of the whole configuration; keys with faults are left out and their faults added.
pub fn read(fields: &mut Fields<'_>) -> Vec<KeySettings> {
    let read = fields.objects("keys", read_key).unwrap_or_default();
    let mut keys: Vec<KeySettings> = Vec::with_capacity(read.len());
    for (index, key) in read.into_iter().enumerate() {
        let Some(key) = key else { continue };
        let mut fault = |field: &str, detail: &str| {
            fields.fault(Fault::new(format!("/keys/{index}{field}"), FaultCode::Conflict, detail));
        };
        if key.id.is_some() && keys.iter().any(|known| known.id == key.id) {
            fault("/id", "is the id of another key: `imcast keygen` makes a new one each time");
        }
        let is_known_by_digest = |known: &KeySettings| known.id.is_none() || key.id.is_none();
        if keys.iter().any(|known| is_known_by_digest(known) && known.digest.matches(&key.digest)) {
            fault("/sha256", "is that of another key: `imcast keygen` makes a new one each time");
        }
        if keys.iter().any(|known| known.name == key.name && known.rights != key.rights) {
            fault("", "has other rights or quotas than the key of the same name before it");
        }
        keys.push(key);
    }
    keys
}

/// A fault for each channel of an allow-list that `exists` does not know.
pub fn unknown_channels(keys: &[KeySettings], exists: impl Fn(&str) -> bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (index, key) in keys.iter().enumerate() {
        let names = key.rights.channels.iter().flatten().map(ChannelName::as_str);
        for name in names.filter(|name| !exists(name)) {
            let detail = format!("no channel is named `{name}`");
            faults.push(Fault::new(format!("/keys/{index}/channels"), FaultCode::UnknownChannel, detail));
        }
    }
    faults
}

/// Whether a text can be a caller's name.
#[must_use]
pub fn is_name(text: &str) -> bool {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=MOST_CHARACTERS).contains(&text.len()) && text.bytes().all(is_allowed)
}

fn read_key(fields: &mut Fields<'_>) -> Option<KeySettings> {
    let name = fields.required_text("name").filter(|name| {
        let is_name = is_name(name);
        if !is_name {
            let detail = "must have 1 to 64 characters of A-Z, a-z, 0-9, `.`, `_` and `-`";
            fields.fault_at("name", FaultCode::OutOfRange, detail);
        }
        is_name
    });
    let has_id = fields.has("id");
    let id = fields.text("id").filter(|id| {
        let is_id =
            (1..=MOST_CHARACTERS).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if !is_id {
            // A fault never repeats a value: this one may be the key itself by mistake.
            fields.fault_at(
                "id",
                FaultCode::OutOfRange,
                "must be what stands between `imc_` and the dot of the key",
            );
        }
        is_id
    });
    let digest = fields.required_text("sha256").and_then(|text| {
        let digest = KeyDigest::parse(&text);
        if digest.is_none() {
            let detail = "must be the 64 hexadecimal digits that `imcast keygen` prints, not the key";
            fields.fault_at("sha256", FaultCode::OutOfRange, detail);
        }
        digest
    });
    let rights = read_rights(fields);
    let id = if has_id { Some(id?) } else { None };
    Some(KeySettings { name: name?, id, digest: digest?, rights })
}

fn read_rights(fields: &mut Fields<'_>) -> Rights {
    let channels = fields.texts("channels").map(|names| {
        let parsed = names.iter().map(|name| ChannelName::parse(name));
        let channels: BTreeSet<_> = parsed.clone().flatten().collect();
        if parsed.clone().any(|name| name.is_none()) {
            let detail = "a channel's name has 1 to 64 characters of a-z, 0-9 and -";
            fields.fault_at("channels", FaultCode::OutOfRange, detail);
        }
        channels
    });
    let mut count = |name: &str, most: u64| {
        fields.u64(name, 1..=most).and_then(|count| NonZeroU32::new(u32::try_from(count).ok()?))
    };
    let batches_per_second = count("batches_per_second", 1_000_000);
    let recipients_per_minute = count("recipients_per_minute", 1_000_000_000);
    let is_operator = fields.bool("operator").unwrap_or_default();
    Rights { channels, is_operator, batches_per_second, recipients_per_minute }
}
