//! When a running gateway reads its configuration anew: told so by SIGHUP, or since a file has changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::Signal;
use tokio::time::{MissedTickBehavior, interval};
use tracing::error;

use crate::app::reload::Reloader;
use crate::commands::Sources;
use crate::commands::service_manager::{Progress, ServiceManager};
use crate::config::files::FilesRead;

/// How often the files are looked at. A change counts once two looks saw the same, so that nothing half written is
/// read.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Takes over what the sources say, each time they may say something else; never ends.
///
/// Looking and reading block as long as the file system does, on threads of their own.
pub(super) async fn keep_current(
    reloader: &Arc<Reloader>,
    sources: &Sources,
    files: FilesRead,
    mut hangup: Signal,
    manager: &ServiceManager,
) {
    let mut looks = interval(LOOK_EVERY);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut files = Arc::new(files);
    let mut before = None;
    loop {
        let is_due = tokio::select! {
            Some(()) = hangup.recv() => true,
            _ = looks.tick() => {
                let looked_at = Arc::clone(&files);
                let now = tokio::task::spawn_blocking(move || looked_at.look()).await.ok();
                let is_settled = now == before;
                before = now;
                is_settled && before.as_ref().is_some_and(|look| files.differ(look))
            }
        };
        if is_due {
            manager.tell(Progress::Reloading);
            files = Arc::new(reload(reloader, sources).await);
            // Also where the configuration was refused: the one before serves.
            manager.tell(Progress::Ready);
            before = None;
        }
    }
}

/// Reads everything anew and serves it, or says why not; returns the files that it was read from.
async fn reload(reloader: &Arc<Reloader>, sources: &Sources) -> FilesRead {
    let (reloader, sources) = (Arc::clone(reloader), sources.clone());
    let reading = move || {
        let mut files = FilesRead::default();
        let loaded = sources.load_noting(&mut files);
        reloader.reload(loaded);
        files
    };
    tokio::task::spawn_blocking(reading).await.unwrap_or_else(|error| {
        // A fault of this program. No file is watched from now on, or it would happen again at every look.
        error!(%error, "Reading the configuration broke off: it is read again at the next SIGHUP.");
        FilesRead::default()
    })
}
