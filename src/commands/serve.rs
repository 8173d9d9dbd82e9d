//! `imcast serve`: runs the gateway until a signal ends it.

use std::net::SocketAddr;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
#[cfg(feature = "otel")]
use tracing::warn;

use crate::app::App;
use crate::commands::reload::keep_current;
use crate::commands::service_manager::{Progress, ServiceManager};
use crate::commands::{CommandError, Sources};
use crate::config::files::FilesRead;
use crate::config::{Sandbox, Settings};
use crate::dispatch::clock::{Clock, Randomness};
use crate::telemetry::traces::Export;
use crate::telemetry::{TraceSettings, logs};

/// What the command line says over the configuration.
#[derive(Debug, Default, clap::Args)]
pub(super) struct Arguments {
    /// Serve one channel per built-in stand-in in place of the configured channels
    #[arg(long)]
    sandbox: bool,
    /// Where to listen, in place of server.listen
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Option<SocketAddr>,
}

/// Runs until SIGTERM or SIGINT and leaves in order; a second signal ends it at once. Until then SIGHUP and changed
/// files are heeded.
pub(super) fn run(sources: Sources, arguments: &Arguments) -> Result<(), CommandError> {
    let mut files = FilesRead::default();
    let mut settings = sources.clone().load_noting(&mut files)?;
    if arguments.sandbox {
        settings.sandbox = Sandbox::Only;
    }
    if let Some(listen) = arguments.listen {
        settings.server.listen = listen;
    }
    let runtime = runtime().map_err(CommandError::System)?;
    let export = export(&settings.traces, runtime.handle())?;
    logs::start(settings.log, export.as_ref())?;
    let served = runtime.block_on(async {
        let served = serve(settings, sources, files).await;
        flush(export).await;
        served
    });
    // After a second signal tasks are still at work: nobody waits for them.
    runtime.shutdown_background();
    served
}

/// Starts the export of spans, if one is asked for.
#[cfg(feature = "otel")]
fn export(settings: &TraceSettings, runtime: &Handle) -> Result<Option<Export>, CommandError> {
    let Some(endpoint) = &settings.otlp_endpoint else { return Ok(None) };
    let collector = crate::transport::collector::Collector::new(endpoint, runtime.clone())?;
    Ok(Export::start(settings, collector)?)
}

/// The settings allow none.
#[cfg(not(feature = "otel"))]
const fn export(_: &TraceSettings, _: &Handle) -> Result<Option<Export>, CommandError> {
    Ok(None)
}

/// Exports what is left, while the runtime still carries it.
#[cfg(feature = "otel")]
async fn flush(export: Option<Export>) {
    let Some(export) = export else { return };
    match tokio::task::spawn_blocking(move || export.stop()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => warn!(%error, "The last spans are lost."),
        Err(error) => warn!(%error, "The last spans are lost."),
    }
}

#[cfg(not(feature = "otel"))]
async fn flush(_: Option<Export>) {}

/// One thread where the process may use one core, since handing work between threads costs a tenth there.
fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let mut builder = match cores {
        1 => tokio::runtime::Builder::new_current_thread(),
        _ => tokio::runtime::Builder::new_multi_thread(),
    };
    builder.enable_all().build()
}

/// SIGXFSZ: a file may not grow further. By default the process would end; with any handler only the write fails, as it
/// does on a full disk.
///
/// Source: Linux, signal(7), "Standard signals", the number on x86, ARM and most others; macOS has the same.
const FILE_TOO_LARGE: SignalKind = SignalKind::from_raw(25);

async fn serve(settings: Settings, sources: Sources, files: FilesRead) -> Result<(), CommandError> {
    // Before anything starts, so that no signal meets the system's default action.
    let mut signals = Signals::new()?;
    let hangup = signal(SignalKind::hangup()).map_err(CommandError::System)?;
    let manager = ServiceManager::of(&sources.environment);
    // Once it is there it stays, and nobody needs to listen.
    signal(FILE_TOO_LARGE).map(drop).map_err(CommandError::System)?;
    let app = App::start(settings, Clock::system(), Randomness::from_entropy()).await?;
    manager.tell(Progress::Ready);
    tokio::select! {
        () = signals.next() => {}
        () = keep_current(app.reloader(), &sources, files, hangup, &manager) => {}
    }
    manager.tell(Progress::Stopping);
    tokio::select! {
        () = app.shutdown() => Ok(()),
        () = signals.next() => Err(CommandError::Interrupted),
    }
}

/// The signals that ask the process to end.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, CommandError> {
        Ok(Self {
            terminate: signal(SignalKind::terminate()).map_err(CommandError::System)?,
            interrupt: signal(SignalKind::interrupt()).map_err(CommandError::System)?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
