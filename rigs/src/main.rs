//! Measures the real gateway against the clock: one rig per subcommand, one table per rig.
//!
//! A rig starts the release binary with a configuration of its own on loopback, plays its provider, loads it
//! in open loop and compares what it saw with a threshold. It is run and read by people: nothing here is a
//! test of the continuous integration, since a busy machine changes every figure.

mod arguments;
mod circuits;
mod database;
mod exchange;
mod figures;
mod gateway;
mod health;
mod launch;
mod load;
mod pace;
mod process;
mod promises;
mod provider;
mod ready;
mod requests;
mod rigs;
mod statistics;

use std::fmt::Display;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use crate::arguments::{Options, Task};
use crate::figures::Sheet;

/// Why a rig has no table.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RigError {
    /// The system refused something.
    #[error("{what}: {source}")]
    System {
        /// What was tried.
        what: &'static str,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// The gateway did not come up.
    #[error("the gateway did not become ready; its log is {0}")]
    NotReady(PathBuf),
    /// The gateway ended by itself.
    #[error("the gateway is gone; its log is {0}")]
    Gone(PathBuf),
    /// The gateway said something that the rig does not understand.
    #[error("the gateway's answer is not understood: {0}")]
    Answer(&'static str),
    /// The rig's time is over.
    #[error("the rig took longer than {0:?} and was ended")]
    TooLong(Duration),
    /// Somebody ended it.
    #[error("a signal ended the rig")]
    Interrupted,
}

impl RigError {
    /// For `map_err`: says what was tried.
    pub(crate) const fn system(what: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::System { what, source }
    }
}

fn main() -> ExitCode {
    match arguments::parse(std::env::args_os().skip(1)) {
        Ok(Task::Launch { cpu, program, arguments }) => {
            let error = launch::replace_self(cpu, &program, &arguments);
            say(format_args!("{}: {error}", program.display()));
            ExitCode::FAILURE
        }
        Ok(Task::Measure(options)) => match measure(&options) {
            Ok(sheet) => {
                // A broken pipe has nobody to tell.
                let _ = write!(std::io::stdout().lock(), "{sheet}");
                if sheet.has_passed() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
            }
            Err(error) => {
                say(format_args!("imcast-rig: {error}"));
                ExitCode::FAILURE
            }
        },
        Err(usage) => {
            say(format_args!("{usage}"));
            ExitCode::from(64)
        }
    }
}

/// Progress and complaints go to standard error, the table alone to standard output.
pub(crate) fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn measure(options: &Options) -> Result<Sheet, RigError> {
    let cores = launch::pin_self();
    say(cores);
    // One thread on one core carries generator and provider; the other core is the gateway's.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(RigError::system("starting the runtime"))?;
    let outcome = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(RigError::system("signals"))?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(RigError::system("signals"))?;
        // Dropping the rig, for whatever reason, kills its gateway by process id.
        tokio::select! {
            sheet = rigs::run(options, &cores) => sheet,
            () = tokio::time::sleep(options.most_time()) => Err(RigError::TooLong(options.most_time())),
            _ = terminate.recv() => Err(RigError::Interrupted),
            _ = interrupt.recv() => Err(RigError::Interrupted),
        }
    });
    runtime.shutdown_background();
    outcome
}
