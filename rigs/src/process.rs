//! What the system tells about a process and about the machine.

use std::fmt;
use std::path::PathBuf;
use std::time::Instant;

/// The system counts a process's time in hundredths of a second, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process to be watched.
#[derive(Clone)]
pub(crate) struct Process {
    directory: PathBuf,
}

impl Process {
    /// The process of this id; 0 is none, and tells nothing.
    pub(crate) fn of(id: u32) -> Self {
        Self { directory: PathBuf::from(format!("/proc/{id}")) }
    }

    /// Resident memory in MiB; `None` if the process is gone.
    pub(crate) fn resident_mib(&self) -> Option<f64> {
        self.mib("VmRSS:")
    }

    /// The most resident memory that it ever had, in MiB; `None` if the process is gone.
    pub(crate) fn peak_mib(&self) -> Option<f64> {
        self.mib("VmHWM:")
    }

    fn mib(&self, name: &str) -> Option<f64> {
        let text = std::fs::read_to_string(self.directory.join("status")).ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix(name))?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse().ok()?;
        Some(kib / 1024.0)
    }

    /// Seconds of a core that it has used; 0 if the process is gone.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let text = std::fs::read_to_string(self.directory.join("stat")).unwrap_or_default();
        // The name, in brackets, may hold blanks; user and system time are the 12th and 13th field after it.
        let fields = text.rsplit(')').next().unwrap_or_default();
        fields.split_whitespace().skip(11).take(2).filter_map(ticks).sum()
    }
}

fn ticks(field: &str) -> Option<f64> {
    field.parse::<f64>().ok().map(|ticks| ticks / TICKS_PER_SECOND)
}

/// Who uses the cores from now on.
pub(crate) struct Usage {
    gateway: Process,
    start: Instant,
    before: Spent,
}

/// Seconds of cores.
#[derive(Clone, Copy)]
struct Spent {
    gateway: f64,
    rig: f64,
    machine: f64,
}

impl Spent {
    fn now(gateway: &Process) -> Self {
        let rig = Process::of(std::process::id()).cpu_seconds();
        Self { gateway: gateway.cpu_seconds(), rig, machine: machine_seconds() }
    }
}

/// Seconds that all cores together have worked.
fn machine_seconds() -> f64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let all = text.lines().next().unwrap_or_default();
    // The 4th and 5th figure are idleness.
    let figures = all.split_whitespace().skip(1).take(8).enumerate();
    figures.filter(|(index, _)| !matches!(index, 3 | 4)).filter_map(|(_, field)| ticks(field)).sum()
}

impl Usage {
    pub(crate) fn start(gateway: Process) -> Self {
        let before = Spent::now(&gateway);
        Self { gateway, start: Instant::now(), before }
    }

    /// Shares since the start; a rig at 100 % measures itself, and others beside them spoil the figures.
    pub(crate) fn shares(&self) -> Shares {
        let after = Spent::now(&self.gateway);
        let time = self.start.elapsed().as_secs_f64();
        let share = |of: fn(&Spent) -> f64| (of(&after) - of(&self.before)) / time;
        let (gateway, rig) = (share(|spent| spent.gateway), share(|spent| spent.rig));
        Shares { gateway, rig, others: (share(|spent| spent.machine) - gateway - rig).max(0.0) }
    }
}

/// Parts of one core.
#[derive(Clone, Copy)]
pub(crate) struct Shares {
    gateway: f64,
    rig: f64,
    others: f64,
}

impl fmt::Display for Shares {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { gateway, rig, others } = self;
        write!(
            formatter,
            "of one core: gateway {:.0} %, rig {:.0} %, other processes {:.0} %",
            gateway * 100.0,
            rig * 100.0,
            others * 100.0
        )
    }
}
