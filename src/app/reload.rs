//! Replaces the channels by those of a configuration that was read anew, or leaves everything as it is.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use tracing::{error, info};

use crate::app::App;
use crate::config::{ChannelDigest, LoadError, Settings};
use crate::dispatch::NextChannel;
use crate::dispatch::channel::ChannelParts;
use crate::domain::id::ChannelName;
use crate::telemetry::metrics::words::ReloadResult;
use crate::transport;

/// What a reload needs to know of the configuration that serves; lives as long as the application.
pub(super) struct Serving {
    transport: transport::Settings,
    /// `None` while the stand-ins serve.
    digests: Option<Mutex<BTreeMap<String, ChannelDigest>>>,
}

/// Why a configuration does not come to serve.
#[derive(Debug, thiserror::Error)]
enum ReloadError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("channel `{channel}` cannot be started: {source}")]
    Client { channel: ChannelName, source: transport::BuildError },
    #[error("it has no channel; a start without one would serve the sandbox")]
    NoChannel,
    #[error("the sandbox serves; start anew to serve configured channels")]
    Sandbox,
}

/// How many channels went which way.
#[derive(Default)]
struct Change {
    kept: usize,
    started: usize,
    removed: usize,
}

impl Serving {
    /// `digests`: of the channels that serve; `None` while the stand-ins do.
    pub(super) fn new(
        transport: transport::Settings,
        digests: Option<BTreeMap<String, ChannelDigest>>,
    ) -> Self {
        Self { transport, digests: digests.map(Mutex::new) }
    }
}

impl App {
    /// Serves the channels of a configuration that was read anew, all at once.
    ///
    /// A channel whose keys are the same goes on as it is; everything but channels stays as it was at the start.
    /// If anything is wrong, nothing changes. Either way the log and `imcast_reloads_total` say so.
    pub fn reload(&self, loaded: Result<Settings, LoadError>) {
        let metrics = self.dispatcher.metrics();
        match self.replace_channels(loaded) {
            Ok(Change { kept, started, removed }) => {
                metrics.count_reload(ReloadResult::Applied);
                info!(
                    kept_count = kept,
                    started_count = started,
                    removed_count = removed,
                    "Channels replaced."
                );
            }
            Err(error) => {
                metrics.count_reload(ReloadResult::Refused);
                error!(%error, "Configuration refused: the channels stay as they were.");
            }
        }
    }

    fn replace_channels(&self, loaded: Result<Settings, LoadError>) -> Result<Change, ReloadError> {
        let Some(digests) = &self.serving.digests else { return Err(ReloadError::Sandbox) };
        let settings = loaded?;
        if settings.channels.is_empty() {
            return Err(ReloadError::NoChannel);
        }
        // Held to the end, so that the digests are always those of the channels that serve.
        let mut digests = digests.lock().unwrap_or_else(PoisonError::into_inner);
        let mut change = Change::default();
        let mut next = Vec::with_capacity(settings.channels.len());
        for (name, channel) in settings.channels {
            let digest = settings.channel_digests.get(name.as_str());
            if digest.is_some() && digest == digests.get(name.as_str()) {
                change.kept += 1;
                next.push(NextChannel::Kept(name));
                continue;
            }
            let http = transport::client(&channel.settings, &self.serving.transport)
                .map_err(|source| ReloadError::Client { channel: name.clone(), source })?;
            change.started += 1;
            next.push(NextChannel::New(ChannelParts { name, channel, http, is_sandbox: false }));
        }
        let is_gone = |name: &&String| !settings.channel_digests.contains_key(*name);
        change.removed = digests.keys().filter(is_gone).count();
        self.dispatcher.replace_channels(next);
        *digests = settings.channel_digests;
        Ok(change)
    }
}
