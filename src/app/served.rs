//! Which channels serve and served, so that the next ones go on where they left off.

use std::collections::BTreeSet;
use std::sync::{Arc, Weak};

use crate::adapter::channel::Channel;
use crate::app::reload::ReloadError;
use crate::config::digest::{ChannelDigests, Digests};
use crate::dispatch::Dispatcher;
use crate::dispatch::channel::{ChannelParts, ChannelRuntime};
use crate::dispatch::replace::{NextChannel, Predecessor};
use crate::domain::id::ChannelName;
use crate::transport;

/// Every channel that serves or served, the latest last: at most one for each name and account.
pub(super) struct Served(Vec<Entry>);

#[derive(Clone)]
struct Entry {
    name: ChannelName,
    digests: ChannelDigests,
    /// Gone once it was replaced and its last batch has ended.
    channel: Weak<ChannelRuntime>,
    is_current: bool,
}

/// A next view that can be put in place.
pub(super) struct Replacement {
    channels: Vec<NextChannel>,
    digests: Vec<(ChannelName, ChannelDigests)>,
    /// What is neither kept nor replaced.
    past: Vec<Entry>,
}

/// How many channels went which way.
#[derive(Default)]
pub(super) struct Change {
    pub(super) kept: usize,
    pub(super) started: usize,
    pub(super) removed: usize,
}

impl Entry {
    fn of(dispatcher: &Dispatcher, name: ChannelName, digests: ChannelDigests) -> Self {
        let channel = dispatcher.channel(name.as_str()).as_ref().map(Arc::downgrade).unwrap_or_default();
        Self { name, digests, channel, is_current: true }
    }

    fn is_account_of(&self, digests: &ChannelDigests) -> bool {
        self.digests.account == digests.account
    }

    fn predecessor(&self, digests: &ChannelDigests) -> Predecessor {
        match self.channel.upgrade() {
            None => Predecessor::Gone,
            Some(channel) if self.digests.login == digests.login => Predecessor::Login(channel),
            Some(channel) => Predecessor::Account(channel),
        }
    }
}

impl Served {
    /// The channels of the start; the stand-ins have no digests, and are never replaced.
    pub(super) fn new(dispatcher: &Dispatcher, digests: &Digests) -> Self {
        let channels = dispatcher.channels();
        let entry = |channel: &Arc<ChannelRuntime>| {
            let name = channel.name();
            Some(Entry::of(dispatcher, name.clone(), *digests.channels.get(name.as_str())?))
        };
        Self(channels.iter().filter_map(entry).collect())
    }

    /// Decides what every channel goes on with; changes nothing.
    pub(super) fn plan(
        &self,
        channels: Vec<(ChannelName, Channel)>,
        digests: &Digests,
        transport: &transport::Settings,
    ) -> Result<Replacement, ReloadError> {
        if channels.is_empty() {
            return Err(ReloadError::NoChannel);
        }
        let mut past = self.0.clone();
        let mut known = Vec::with_capacity(channels.len());
        for (name, channel) in channels {
            let Some(&digests) = digests.channels.get(name.as_str()) else {
                return Err(ReloadError::NoDigest(name));
            };
            let before = take(&mut past, |entry| entry.name == name && entry.is_account_of(&digests));
            known.push((name, channel, digests, before));
        }
        let mut replacement = Replacement { channels: Vec::new(), digests: Vec::new(), past };
        for (name, channel, digests, before) in known {
            replacement.digests.push((name.clone(), digests));
            if before.as_ref().is_some_and(|before| before.is_current && before.digests.all == digests.all) {
                replacement.channels.push(NextChannel::Kept(name));
                continue;
            }
            // An account whose channel has another name now.
            let before =
                before.or_else(|| take(&mut replacement.past, |entry| entry.is_account_of(&digests)));
            let predecessor = before.map_or(Predecessor::Nobody, |before| before.predecessor(&digests));
            let http = transport::client(&channel.settings, transport)
                .map_err(|source| ReloadError::Client { channel: name.clone(), source })?;
            let parts =
                ChannelParts { name, channel, http, is_sandbox: false, account: Some(digests.account()) };
            replacement.channels.push(NextChannel::New(Box::new(parts), predecessor));
        }
        Ok(replacement)
    }

    /// Puts the next view in place.
    pub(super) fn replace(&mut self, dispatcher: &Dispatcher, replacement: Replacement) -> Change {
        let Replacement { channels, digests, past } = replacement;
        let is_kept = |channel: &&NextChannel| matches!(channel, NextChannel::Kept(_));
        let kept = channels.iter().filter(is_kept).count();
        let started = channels.len() - kept;
        let names: BTreeSet<_> = digests.iter().map(|(name, _)| name).collect();
        let is_removed = |entry: &&Entry| entry.is_current && !names.contains(&entry.name);
        let removed = self.0.iter().filter(is_removed).count();
        dispatcher.replace_channels(channels);
        let past = past.into_iter().map(|entry| Entry { is_current: false, ..entry });
        let current = digests.into_iter().map(|(name, digests)| Entry::of(dispatcher, name, digests));
        self.0 = past.chain(current).collect();
        Change { kept, started, removed }
    }
}

/// Takes the latest entry of these out, one on which batches run before all others.
fn take(entries: &mut Vec<Entry>, is_wanted: impl Fn(&Entry) -> bool) -> Option<Entry> {
    let wanted = entries.iter().enumerate().filter(|(_, entry)| is_wanted(entry));
    let (index, _) = wanted.max_by_key(|(_, entry)| entry.channel.strong_count() > 0)?;
    Some(entries.remove(index))
}
