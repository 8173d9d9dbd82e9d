//! When a running gateway reads its configuration anew: told so by SIGHUP, or since the file has changed.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::error;

use crate::app::App;
use crate::commands::{CommandError, Sources};

/// How often the file is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// The configuration file, and what it was like when it was last looked at.
pub(super) struct WatchedFile {
    path: PathBuf,
    seen: Option<Stamp>,
}

/// Tells one state of a file from another: when it was written, and its length in bytes.
type Stamp = (SystemTime, u64);

/// What there is to wait for.
pub(super) struct Reasons {
    hangup: Signal,
    looks: Interval,
    file: WatchedFile,
}

impl WatchedFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), seen: std::fs::metadata(path).ok().and_then(|file| stamp(&file)) }
    }

    /// Whether it is another one than at the last look; one that is away for a moment is not.
    async fn has_changed(&mut self) -> bool {
        let now = tokio::fs::metadata(&self.path).await.ok().and_then(|file| stamp(&file));
        let has_changed = now.is_some() && now != self.seen;
        if has_changed {
            self.seen = now;
        }
        has_changed
    }
}

impl Reasons {
    pub(super) fn new(file: WatchedFile) -> Result<Self, CommandError> {
        let hangup = signal(SignalKind::hangup()).map_err(CommandError::System)?;
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Ok(Self { hangup, looks, file })
    }

    /// Waits until the configuration should be read anew.
    pub(super) async fn next(&mut self) {
        loop {
            tokio::select! {
                _ = self.hangup.recv() => {
                    // What the signal makes us read need not be read again at the next look.
                    self.file.has_changed().await;
                    return;
                }
                _ = self.looks.tick() => {}
            }
            if self.file.has_changed().await {
                return;
            }
        }
    }
}

/// Reads the configuration and serves its channels, or says why not.
pub(super) async fn reload(app: &App, sources: &Sources) {
    let sources = sources.clone();
    match tokio::task::spawn_blocking(move || sources.load()).await {
        Ok(loaded) => app.reload(loaded),
        Err(error) => error!(%error, "Reading the configuration broke off."),
    }
}

fn stamp(file: &Metadata) -> Option<Stamp> {
    Some((file.modified().ok()?, file.len()))
}
