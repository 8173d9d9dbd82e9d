//! Takes over the channels and keys of a configuration that was read anew, or leaves everything as it is.

use std::error::Error as _;
use std::sync::{Arc, Mutex, PoisonError};

use tracing::{error, info, warn};

use crate::api::keys::ring::KeyRing;
use crate::app::served::{Change, Served};
use crate::app::settings::ServerSettings;
use crate::app::{StartError, check_address, log_warnings};
use crate::config::digest::Digests;
use crate::config::{LoadError, Sandbox, Settings};
use crate::dispatch::Dispatcher;
use crate::domain::id::ChannelName;
use crate::telemetry::metrics::words::ReloadResult;
use crate::transport;

/// Puts configurations in the place of the one that serves; lives as long as the application.
pub struct Reloader {
    dispatcher: Arc<Dispatcher>,
    keys: Arc<KeyRing>,
    at_start: AtStart,
    /// Locked while one configuration replaces another.
    served: Mutex<Served>,
}

/// What the process was started with and keeps.
pub(super) struct AtStart {
    pub(super) server: ServerSettings,
    pub(super) transport: transport::Settings,
    /// Why the stand-ins serve; `None` = they do not.
    pub(super) sandbox: Option<Sandbox>,
    pub(super) digests: Digests,
}

/// Why a configuration does not come to serve; begins with the key at fault.
#[derive(Debug, thiserror::Error)]
pub(super) enum ReloadError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("keys: none is left, and other machines reach the API")]
    Keys(#[source] StartError),
    #[error("channels: none is left; a start without one would serve the sandbox")]
    NoChannel,
    #[error("channels.{channel}: cannot be started")]
    Client { channel: ChannelName, source: transport::BuildError },
    #[error("channels.{0}: cannot be told from others; a fault of this program")]
    NoDigest(ChannelName),
}

impl Reloader {
    pub(super) fn new(dispatcher: Arc<Dispatcher>, keys: Arc<KeyRing>, at_start: AtStart) -> Self {
        let served = Mutex::new(Served::new(&dispatcher, &at_start.digests));
        Self { dispatcher, keys, at_start, served }
    }

    /// Serves the channels and keys of this configuration from now on; all other settings stay as at the start.
    ///
    /// A channel whose keys are the same goes on as it is, and callers keep what they have used of their quotas.
    /// If anything is wrong, nothing changes. Either way the log and the metrics say so.
    pub fn reload(&self, loaded: Result<Settings, LoadError>) {
        let metrics = self.dispatcher.metrics();
        match self.take_over(loaded) {
            Ok(()) => metrics.count_reload(ReloadResult::Applied),
            Err(error) => {
                metrics.count_reload(ReloadResult::Refused);
                let cause = error.source().map(tracing::field::display);
                error!(%error, cause, "Configuration refused: the one before goes on to serve.");
            }
        }
    }

    fn take_over(&self, loaded: Result<Settings, LoadError>) -> Result<(), ReloadError> {
        let settings = loaded?;
        let (sandbox, has_keys) = (self.at_start.sandbox, !settings.keys.is_empty());
        check_address(&self.at_start.server, sandbox.unwrap_or(Sandbox::WithoutChannels), has_keys)
            .map_err(ReloadError::Keys)?;
        log_warnings(&settings);
        let mut waiting = settings.digests.differing(&self.at_start.digests);
        if sandbox == Some(Sandbox::WithoutChannels) && !settings.channels.is_empty() {
            waiting.push("channels");
        }
        let waiting = waiting.join(", ");
        let mut served = self.served.lock().unwrap_or_else(PoisonError::into_inner);
        // All that can fail comes before all that changes something.
        let replacement = match sandbox {
            Some(_) => None,
            None => Some(served.plan(settings.channels, &settings.digests, &self.at_start.transport)?),
        };
        if !has_keys && !self.keys.is_empty() {
            warn!("No key is configured any more: whoever reaches the API can send.");
        }
        // The keys first: one that was withdrawn never meets a new channel.
        self.keys.replace(&settings.keys);
        let change = replacement.map(|replacement| served.replace(&self.dispatcher, replacement));
        let Change { kept, started, removed } = change.unwrap_or_default();
        info!(
            kept_count = kept,
            started_count = started,
            removed_count = removed,
            key_count = settings.keys.len(),
            "Configuration reloaded."
        );
        if !waiting.is_empty() {
            warn!(settings = waiting, "These settings are not those of the start: they need a restart.");
        }
        Ok(())
    }
}
