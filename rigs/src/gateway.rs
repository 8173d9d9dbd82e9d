//! The gateway under test: the real binary with a configuration of its own.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit};
use serde_json::Value;
use tokio::process::{Child, Command};

use crate::RigError;
use crate::arguments::Options;
use crate::launch::Cores;
use crate::process::Process;
use crate::provider::Provider;
use crate::{exchange, requests};

/// Most time until it says that it is ready.
const START_TIME: Duration = Duration::from_secs(10);

/// Between two looks at a starting gateway.
const START_POLL: Duration = Duration::from_millis(20);

/// A running gateway; dropping it kills it by process id and removes its files.
pub(crate) struct Gateway {
    pub(crate) address: SocketAddr,
    child: Child,
    launch: Launch,
    directory: Directory,
}

/// How it is started, the first time and again.
struct Launch {
    program: PathBuf,
    core: String,
    environment: Vec<(&'static str, PathBuf)>,
}

/// What differs from the gateway's defaults; every rig shows it next to its figures.
pub(crate) struct Changes<'a> {
    /// Keys of sections other than the channels, as TOML.
    pub(crate) general: &'a str,
    /// Keys that every channel gets.
    pub(crate) channel: &'a str,
}

impl Gateway {
    /// Starts it with one channel for each provider and waits until it is ready.
    pub(crate) async fn start(
        options: &Options,
        cores: &Cores,
        providers: &[&Provider],
        changes: &Changes<'_>,
    ) -> Result<Self, RigError> {
        Self::start_in(options, cores, providers, changes, Vec::new()).await
    }

    /// The same, with something in its environment.
    pub(crate) async fn start_in(
        options: &Options,
        cores: &Cores,
        providers: &[&Provider],
        changes: &Changes<'_>,
        environment: Vec<(&'static str, PathBuf)>,
    ) -> Result<Self, RigError> {
        let directory = Directory::new()?;
        std::fs::write(directory.0.join("imcast.toml"), toml(providers, changes))
            .map_err(RigError::system("configuration"))?;
        // It works in a folder of its own, so that a path that fits ours does not fit it.
        let program = options.gateway.canonicalize().map_err(RigError::system("the gateway's path"))?;
        let core = cores.gateway.map_or_else(|| "any".to_owned(), |core| core.to_string());
        let launch = Launch { program, core, environment };
        let child = launch.spawn(&directory)?;
        let address = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut gateway = Self { address, child, launch, directory };
        gateway.wait_until_ready().await?;
        Ok(gateway)
    }

    /// Kills it as a failing machine would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) -> Result<(), RigError> {
        self.child.kill().await.map_err(RigError::system("killing the gateway"))
    }

    /// Starts it again on the same files, and waits until it is ready.
    pub(crate) async fn start_again(&mut self) -> Result<(), RigError> {
        self.child = self.launch.spawn(&self.directory)?;
        self.wait_until_ready().await
    }

    /// Lets the files that it writes to become so large and no larger; `None` = as large as they like.
    pub(crate) fn limit_files(&self, bytes: Option<u64>) -> Result<(), RigError> {
        let limit = Rlimit { current: bytes, maximum: None };
        let set = rustix::process::prlimit(self.id(), Resource::Fsize, limit);
        set.map(drop).map_err(|error| RigError::system("a limit")(error.into()))
    }

    /// One of its files.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.directory.0.join(name)
    }

    fn id(&self) -> Option<Pid> {
        self.child.id().and_then(|id| Pid::from_raw(id.cast_signed()))
    }

    async fn wait_until_ready(&mut self) -> Result<(), RigError> {
        let started = tokio::time::timeout(START_TIME, self.become_ready()).await;
        started.unwrap_or_else(|_| Err(RigError::NotReady(self.directory.keep())))
    }

    async fn become_ready(&mut self) -> Result<(), RigError> {
        loop {
            tokio::time::sleep(START_POLL).await;
            self.check_alive()?;
            let Some(address) = listening_at(&self.directory.log()) else { continue };
            self.address = address;
            let ready = exchange::once(address, &requests::get("/readyz")).await;
            if matches!(ready, Ok((answer, _)) if answer.status == 200) {
                return Ok(());
            }
        }
    }

    /// Says so if the gateway has ended by itself, which is a finding of its own.
    pub(crate) fn check_alive(&mut self) -> Result<(), RigError> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(_)) | Err(_) => Err(RigError::Gone(self.directory.keep())),
        }
    }

    /// Its process.
    pub(crate) fn process(&self) -> Process {
        Process::of(self.child.id().unwrap_or_default())
    }
}

impl Launch {
    fn spawn(&self, directory: &Directory) -> Result<Child, RigError> {
        let log =
            std::fs::File::create(directory.log()).map_err(RigError::system("the gateway's log file"))?;
        let this = std::env::current_exe().map_err(RigError::system("the rig's own path"))?;
        let child = Command::new(this)
            .args(["launch", &self.core])
            .arg(&self.program)
            .args(["serve", "--config", "imcast.toml"])
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            // Its default store is a file in the folder that it works in.
            .current_dir(&directory.0)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .kill_on_drop(true)
            .spawn();
        child.map_err(RigError::system("starting the gateway"))
    }
}

fn toml(providers: &[&Provider], changes: &Changes<'_>) -> String {
    let mut text = format!(
        "[server]\nlisten = '127.0.0.1:0'\n[log]\nformat = 'json'\nlevel = 'info'\n{}\n",
        changes.general
    );
    for provider in providers {
        let Provider { kind, address, .. } = provider;
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "[channels.{}]\nbase_url = 'http://{address}'\n{}{}",
            kind.name(),
            kind.keys(),
            changes.channel
        );
    }
    text
}

/// The address in the log line that the gateway writes once it listens.
fn listening_at(log: &Path) -> Option<SocketAddr> {
    let text = std::fs::read_to_string(log).ok()?;
    text.lines().find_map(|line| {
        let line: Value = serde_json::from_str(line).ok()?;
        find(&line, "server.address")?.as_str()?.parse().ok()
    })
}

/// A member of this name, at the top or one level below.
fn find<'a>(value: &'a Value, name: &str) -> Option<&'a Value> {
    let object = value.as_object()?;
    object.get(name).or_else(|| object.values().find_map(|inner| inner.get(name)))
}

/// Files of one gateway, removed at the end unless somebody needs to read them.
struct Directory(PathBuf, bool);

impl Directory {
    fn new() -> Result<Self, RigError> {
        static COUNT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
        let count = COUNT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let name = format!("imcast-rig-{}-{count}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path).map_err(RigError::system("a directory for the gateway's files"))?;
        Ok(Self(path, false))
    }

    fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    fn keep(&mut self) -> PathBuf {
        self.1 = true;
        self.log()
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if !self.1 {
            // Left-over files in the system's directory for such files harm nobody.
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }
}
