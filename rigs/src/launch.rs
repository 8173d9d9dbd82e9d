//! Cores, and the last step before a process becomes the gateway.
//!
//! The gateway is started through this very program, so that its core is set before its first instruction
//! (it chooses its threads by the cores that it may use) and so that the system kills it when the rig dies,
//! however it dies. `taskset` is not needed.

use std::ffi::OsString;
use std::fmt;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use rustix::process::{Signal, set_parent_process_death_signal};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// Which core is whose.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    /// The gateway's; `None` = there is only one core, or the system does not let us choose.
    pub(crate) gateway: Option<usize>,
    /// The rig's: load generator and provider.
    rig: Option<usize>,
}

impl fmt::Display for Cores {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.gateway, self.rig) {
            (Some(gateway), Some(rig)) => {
                write!(formatter, "gateway on core {gateway}, load and provider on core {rig}")
            }
            _ => write!(formatter, "NOT PINNED: gateway, load and provider share the machine's cores"),
        }
    }
}

/// Moves this process to the last core that it may use and keeps the first one for the gateway.
pub(crate) fn pin_self() -> Cores {
    let unpinned = Cores { gateway: None, rig: None };
    let Ok(allowed) = sched_getaffinity(None) else { return unpinned };
    let mut cores = (0..CpuSet::MAX_CPU).filter(|cpu| allowed.is_set(*cpu));
    match (cores.next(), cores.next_back()) {
        (Some(gateway), Some(rig)) if pin(rig).is_ok() => Cores { gateway: Some(gateway), rig: Some(rig) },
        _ => unpinned,
    }
}

fn pin(cpu: usize) -> rustix::io::Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu);
    sched_setaffinity(None, &only)
}

/// Turns this process into `program`; returns only if that fails.
pub(crate) fn replace_self(cpu: Option<usize>, program: &Path, arguments: &[OsString]) -> std::io::Error {
    if let Err(error) = set_parent_process_death_signal(Some(Signal::KILL)) {
        return error.into();
    }
    if let Some(Err(error)) = cpu.map(pin) {
        return error.into();
    }
    Command::new(program).args(arguments).exec()
}
