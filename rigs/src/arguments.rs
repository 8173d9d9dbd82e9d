//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::rigs::Rig;

/// What stands on standard error after a mistake.
const USAGE: &str = "usage: imcast-rig NAME --gateway PATH [--quick] [--runs N]
  NAME          isolation, deadline, fairness, overload, slow-clients, disk, database, fleet or million
  --gateway     the release binary of imcast
  --quick       shorter, the same thresholds; one run unless --runs says otherwise
  --runs        1 to 9, default 3: the table shows the median and the spread";

/// What the process is to do.
pub(crate) enum Task {
    /// Run a rig.
    Measure(Options),
    /// Become the gateway on a core of its own; for the rig's own use.
    Launch {
        /// The core; `None` = any.
        cpu: Option<usize>,
        /// The gateway.
        program: PathBuf,
        /// Its arguments.
        arguments: Vec<OsString>,
    },
}

/// How to run a rig.
pub(crate) struct Options {
    pub(crate) rig: Rig,
    pub(crate) gateway: PathBuf,
    pub(crate) is_quick: bool,
    pub(crate) run_count: u32,
}

impl Options {
    /// The longest that the whole rig may take.
    pub(crate) fn most_time(&self) -> Duration {
        let one_run = if self.is_quick { 15 * 60 } else { 40 * 60 };
        Duration::from_secs(one_run * u64::from(self.run_count))
    }

    /// Of a quick and a full duration in seconds the one that is asked for.
    pub(crate) const fn seconds(&self, quick: u64, full: u64) -> Duration {
        Duration::from_secs(if self.is_quick { quick } else { full })
    }
}

/// Reads the arguments after the program's name.
pub(crate) fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Task, &'static str> {
    let mut arguments = arguments;
    let name = arguments.next().ok_or(USAGE)?;
    let name = name.to_str().ok_or(USAGE)?;
    if name == "launch" {
        return parse_launch(arguments);
    }
    let rig = Rig::named(name).ok_or(USAGE)?;
    let (mut gateway, mut is_quick, mut run_count) = (None, false, None);
    while let Some(argument) = arguments.next() {
        match argument.to_str() {
            Some("--quick") => is_quick = true,
            Some("--gateway") => gateway = Some(PathBuf::from(arguments.next().ok_or(USAGE)?)),
            Some("--runs") => run_count = Some(read_run_count(arguments.next()).ok_or(USAGE)?),
            _ => return Err(USAGE),
        }
    }
    let run_count = run_count.unwrap_or(if is_quick { 1 } else { 3 });
    Ok(Task::Measure(Options { rig, gateway: gateway.ok_or(USAGE)?, is_quick, run_count }))
}

fn read_run_count(argument: Option<OsString>) -> Option<u32> {
    argument?.to_str()?.parse().ok().filter(|count| (1..=9).contains(count))
}

fn parse_launch(mut arguments: impl Iterator<Item = OsString>) -> Result<Task, &'static str> {
    let cpu = arguments.next().ok_or(USAGE)?;
    let program = PathBuf::from(arguments.next().ok_or(USAGE)?);
    let cpu = cpu.to_str().and_then(|text| text.parse().ok());
    Ok(Task::Launch { cpu, program, arguments: arguments.collect() })
}
