//! Tells one configuration from another without keeping any of its values.

use std::collections::BTreeMap;
use std::fmt;

use ::config::{Value, ValueKind};
use sha2::{Digest as _, Sha256};

use crate::adapter::channel::{CommonSettings, Provider};
use crate::config::tree::{self, Table};
use crate::dispatch::channel::Account;

/// The sections that a running process takes over; each has its own way to tell what changed.
const TAKEN_OVER: [&str; 2] = ["channels", "keys"];

/// The SHA-256 of one or more values; equal for equal values, and says nothing about them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; 32]);

/// What one channel is, from three sides.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ChannelDigests {
    /// Of all its keys.
    pub all: Digest,
    /// Of who asks whom, secrets included: all but the keys that say how the account is used.
    pub login: Digest,
    /// Of the account at the provider, whose limits all channels of it share.
    pub account: Digest,
}

impl ChannelDigests {
    /// What the account is called among replicas.
    #[must_use]
    pub fn account(&self) -> Account {
        Account { limits: self.account.to_string().into(), login: self.login.to_string().into() }
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What a whole configuration is; after defaults, the environment and secret files came in.
#[derive(Clone, Default)]
pub struct Digests {
    /// By the channel's name.
    pub channels: BTreeMap<String, ChannelDigests>,
    /// Every key outside of `[channels]` and `[[keys]]`, e.g. `server.listen`.
    others: BTreeMap<String, Digest>,
}

impl Digests {
    pub(super) fn of(merged: &Table, providers: &[Provider]) -> Self {
        let mut digests = Self::default();
        for (section, value) in merged {
            let ValueKind::Table(keys) = &value.kind else { continue };
            if section == "channels" {
                digests.channels = keys.iter().filter_map(|entry| channel(entry, providers)).collect();
            } else if !TAKEN_OVER.contains(&&**section) {
                let key = |(name, value): (&String, &Value)| (format!("{section}.{name}"), of_value(value));
                digests.others.extend(keys.iter().map(key));
            }
        }
        digests
    }

    /// The keys outside of `[channels]` and `[[keys]]` that the other configuration has otherwise, in order.
    #[must_use]
    pub fn differing<'a>(&'a self, other: &'a Self) -> Vec<&'a str> {
        let names =
            self.others.keys().chain(other.others.keys().filter(|key| !self.others.contains_key(*key)));
        let differs = |key: &&String| self.others.get(*key) != other.others.get(*key);
        let mut differing: Vec<_> = names.filter(differs).map(String::as_str).collect();
        differing.sort_unstable();
        differing
    }
}

fn channel((name, value): (&String, &Value), providers: &[Provider]) -> Option<(String, ChannelDigests)> {
    let ValueKind::Table(keys) = &value.kind else { return None };
    let provider_name = keys.get("provider")?.clone().into_string().ok()?;
    let provider = providers.iter().find(|provider| provider.name == provider_name)?;
    let only = |is_wanted: &dyn Fn(&str) -> bool| {
        let wanted = keys.iter().filter(|(key, _)| is_wanted(key));
        of_table(wanted.map(|(key, value)| (key.clone(), value.clone())).collect())
    };
    let is_account_key = |key: &str| key == "provider" || provider.account_keys.contains(&key);
    let digests = ChannelDigests {
        all: only(&|_| true),
        login: only(&|key| !CommonSettings::USAGE_KEYS.contains(&key)),
        account: only(&is_account_key),
    };
    Some((name.clone(), digests))
}

fn of_value(value: &Value) -> Digest {
    of_table(Table::from([(String::new(), value.clone())]))
}

/// JSON has its keys in order, so that equal tables are equal texts.
fn of_table(table: Table) -> Digest {
    Digest(Sha256::digest(tree::to_json(table).as_bytes()).into())
}
