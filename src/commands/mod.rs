//! The command line: one command per file.
//!
//! Exit codes: 0 = done, 64 = the command line or what it names cannot be used, 2 and 3 = a send of which only some or
//! none were accepted, 1 = anything else.

mod batch_request;
mod check;
mod completions;
mod demo;
mod exchange;
mod gateway;
mod health;
mod input_error;
mod keygen;
mod manual;
mod openapi;
mod plan;
mod refusal;
mod reload;
mod send;
mod serve;
mod service_manager;

#[cfg(test)]
mod tests;

use std::error::Error;
use std::ffi::OsString;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::commands::input_error::InputError;
use crate::config::files::FilesRead;
use crate::config::{self, LoadError, Settings};
use crate::providers::REGISTRY;

/// The command line cannot be understood. Source: sysexits.h, `EX_USAGE`.
const USAGE_FAULT: u8 = 64;

/// One HTTP gateway in front of many instant-messaging providers.
#[derive(Debug, Parser)]
#[command(name = "imcast", version, max_term_width = 100)]
struct CommandLine {
    /// The configuration file [default: imcast.toml, if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the gateway (the default)
    Serve(serve::Arguments),
    /// Send a batch through a running gateway and wait for its report
    ///
    /// Exits 0 if everybody was accepted, 2 if some were, 3 if nobody was; 64 if the command line or a file that it
    /// names cannot be used, 1 for anything else.
    Send(Box<send::Arguments>),
    /// Show the calls that a send would make, without making them
    Plan(Box<plan::Arguments>),
    /// Rehearse one batch per provider against built-in stand-ins
    Demo,
    /// Say what is wrong with the configuration, without starting anything
    Check(check::Arguments),
    /// Make a key for a caller, and what the configuration needs to know it by
    Keygen(keygen::Arguments),
    /// Ask a running gateway whether it is alive
    Health(health::Arguments),
    /// Print what a shell needs to complete this program's commands and options
    Completions(completions::Arguments),
    /// Print the manual page, as roff
    Man(manual::Arguments),
    /// Print the document of the HTTP API (OpenAPI 3.1), as GET /openapi.json answers it
    Openapi,
}

/// Why a command did not do what it was asked for.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("the gateway does not start")]
    Start(#[from] crate::app::StartError),
    #[error("logs cannot be written")]
    Log(#[from] crate::telemetry::logs::LogError),
    #[cfg(feature = "otel")]
    #[error("traces cannot be exported")]
    Collector(#[from] crate::transport::BuildError),
    #[cfg(feature = "otel")]
    #[error("traces cannot be exported")]
    Export(#[from] crate::telemetry::traces::ExportError),
    #[error("the system gives no threads or signals")]
    System(#[source] io::Error),
    #[error("the gateway at {address} does not answer as it should")]
    Exchange { address: String, source: exchange::ExchangeError },
    #[error("the gateway answers with status {0}")]
    Status(u16),
    #[error(transparent)]
    Input(#[from] InputError),
    #[error(transparent)]
    Gateway(#[from] gateway::GatewayError),
    #[error(transparent)]
    Refused(#[from] refusal::Refusal),
    #[error(transparent)]
    Send(#[from] Box<send::SendError>),
    #[error("the plan cannot be read")]
    Plan(#[source] serde_json::Error),
    #[error("there is no command of that name")]
    NoSuchCommand,
    #[error("the URL must read http://host:port/path")]
    Url,
    #[error("at least one report is not as expected")]
    Unexpected,
    #[error("at least one channel cannot be used now")]
    Unusable,
    #[error("a second signal cut the work short")]
    Interrupted,
    #[error("no key can be made")]
    Key(#[from] crate::api::keys::key::NoRandomness),
    #[error("the document of the API cannot be written")]
    Document(#[from] crate::api::document::WriteError),
    #[error("nothing can be written")]
    Write(#[from] io::Error),
}

/// The sources of the configuration, read when a command needs them.
#[derive(Clone)]
struct Sources {
    file: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
}

impl Sources {
    fn load(self) -> Result<Settings, LoadError> {
        config::load(self.file.as_deref(), self.environment, REGISTRY)
    }

    fn load_noting(self, files: &mut FilesRead) -> Result<Settings, LoadError> {
        config::load_noting(self.file.as_deref(), self.environment, REGISTRY, files)
    }
}

/// Runs the command that `arguments` name; the first one is the program itself.
///
/// Results go to `output`, everything else to `errors`.
pub fn run(
    arguments: impl IntoIterator<Item = OsString>,
    environment: impl IntoIterator<Item = (OsString, OsString)>,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> ExitCode {
    match CommandLine::try_parse_from(arguments) {
        Ok(line) => {
            let environment = environment.into_iter().collect();
            match execute(line, environment, output, errors) {
                Ok(code) => code,
                Err(error) => {
                    // If even this cannot be written, the exit code says it.
                    drop(explain(&error, errors));
                    let is_usage = matches!(error, CommandError::Input(_));
                    if is_usage { ExitCode::from(USAGE_FAULT) } else { ExitCode::FAILURE }
                }
            }
        }
        // `--help` and `--version` are among these.
        Err(shown) => {
            let text = shown.render();
            if shown.use_stderr() {
                drop(write!(errors, "{text}"));
                ExitCode::from(USAGE_FAULT)
            } else {
                drop(write!(output, "{text}"));
                ExitCode::SUCCESS
            }
        }
    }
}

fn execute(
    line: CommandLine,
    environment: Vec<(OsString, OsString)>,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<ExitCode, CommandError> {
    let sources = Sources { file: line.config, environment };
    match line.command {
        None => serve::run(sources, &serve::Arguments::default()),
        Some(Command::Serve(arguments)) => serve::run(sources, &arguments),
        Some(Command::Send(arguments)) => return send::run(sources, &arguments, output, errors),
        Some(Command::Plan(arguments)) => plan::run(sources, &arguments, output),
        Some(Command::Demo) => demo::run(output),
        Some(Command::Check(arguments)) => check::run(sources, &arguments, output),
        Some(Command::Keygen(arguments)) => keygen::run(&arguments, output),
        Some(Command::Health(arguments)) => health::run(sources, &arguments),
        Some(Command::Completions(arguments)) => completions::run(&arguments, CommandLine::command(), output),
        Some(Command::Openapi) => openapi::run(output),
        Some(Command::Man(arguments)) => manual::run(&arguments, CommandLine::command(), output),
    }
    .map(|()| ExitCode::SUCCESS)
}

/// One line per fault of a configuration; else the error and what caused it.
fn explain(error: &CommandError, errors: &mut dyn Write) -> io::Result<()> {
    if let CommandError::Load(LoadError { faults }) = error {
        for fault in faults {
            writeln!(errors, "{fault}")?;
        }
        return Ok(());
    }
    write!(errors, "imcast: {error}")?;
    let mut cause = error.source();
    while let Some(source) = cause {
        write!(errors, ": {source}")?;
        cause = source.source();
    }
    writeln!(errors)?;
    if let CommandError::Send(error) = error {
        writeln!(errors, "{}", error.advice)?;
    }
    Ok(())
}

/// A runtime for commands that are a few requests long.
fn small_runtime() -> Result<tokio::runtime::Runtime, CommandError> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(CommandError::System)
}
