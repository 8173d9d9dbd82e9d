//! One rig per file. Each starts its gateway anew for every run, so that no run inherits another's state.

mod database;
mod deadline;
mod disk;
mod fairness;
mod fleet;
mod isolation;
mod million;
mod overload;
mod slow_clients;

use std::time::Duration;

use crate::RigError;
use crate::arguments::Options;
use crate::figures::Sheet;
use crate::launch::Cores;

/// A rig.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rig {
    Isolation,
    Deadline,
    Fairness,
    Overload,
    SlowClients,
    Disk,
    Database,
    Fleet,
    Million,
}

impl Rig {
    const ALL: [Self; 9] = [
        Self::Isolation,
        Self::Deadline,
        Self::Fairness,
        Self::Overload,
        Self::SlowClients,
        Self::Disk,
        Self::Database,
        Self::Fleet,
        Self::Million,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Isolation => "isolation",
            Self::Deadline => "deadline",
            Self::Fairness => "fairness",
            Self::Overload => "overload",
            Self::SlowClients => "slow-clients",
            Self::Disk => "disk",
            Self::Database => "database",
            Self::Fleet => "fleet",
            Self::Million => "million",
        }
    }

    /// The rig of this name.
    pub(crate) fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rig| rig.name() == name)
    }
}

/// What a rig needs to know.
struct Bench<'a> {
    options: &'a Options,
    cores: &'a Cores,
}

/// Runs a rig as often as the options say.
pub(crate) async fn run(options: &Options, cores: &Cores) -> Result<Sheet, RigError> {
    let pace = if options.is_quick { ", quick" } else { "" };
    let mut sheet = Sheet::new(format!("{}{pace}: {cores}", options.rig.name()));
    let bench = Bench { options, cores };
    for run in 1..=options.run_count {
        crate::say(format_args!("run {run} of {}", options.run_count));
        match options.rig {
            Rig::Isolation => isolation::run(&bench, run, &mut sheet).await?,
            Rig::Deadline => deadline::run(&bench, &mut sheet).await?,
            Rig::Fairness => fairness::run(&bench, &mut sheet).await?,
            Rig::Overload => overload::run(&bench, &mut sheet).await?,
            Rig::SlowClients => slow_clients::run(&bench, &mut sheet).await?,
            Rig::Disk => disk::run(&bench, &mut sheet).await?,
            Rig::Database => database::run(&bench, &mut sheet).await?,
            Rig::Fleet => fleet::run(&bench, &mut sheet).await?,
            Rig::Million => million::run(&bench, &mut sheet).await?,
        }
    }
    Ok(sheet)
}

/// How long a request may take before it counts as lost: longer than the gateway lets any caller wait.
const PATIENCE: Duration = Duration::from_secs(30);

/// An answer that comes later is of no use to a caller who waits.
const USEFUL: Duration = Duration::from_secs(1);
