//! A real PostgreSQL in a folder of its own, which can be killed, stopped and started again.
//!
//! It flushes every commit, runs on the rig's core, and ends with the rig however that ends.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::process::{Child, Command};

use crate::RigError;

/// How often a starting server is asked whether it is up, and the time between.
const LOOKS: u32 = 600;
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A running server; dropping it kills it and removes its files.
pub(crate) struct Database {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    /// Who runs it where we are root, as whom it does not run.
    user: Option<u32>,
    server: Option<Child>,
}

impl Database {
    pub(crate) async fn start() -> Result<Self, RigError> {
        let programs =
            programs().ok_or(RigError::Answer("PostgreSQL is not installed; PG_BIN says where it is"))?;
        let user = user().await?;
        let directory = std::env::temp_dir().join(format!("imcast-rig-postgres-{}", std::process::id()));
        // Left over from a rig that was killed.
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir(&directory).map_err(RigError::system("a directory for PostgreSQL"))?;
        if let Some(user) = user {
            chown(&directory, Some(user), None).map_err(RigError::system("a directory for PostgreSQL"))?;
        }
        let mut database = Self { programs, directory, port: free_port()?, user, server: None };
        let mut initdb = database.command("initdb");
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C", "--no-instructions", "-D"]);
        let made = initdb.arg(database.data()).stdout(Stdio::null()).status().await;
        if !made.map_err(RigError::system("initdb"))?.success() {
            return Err(RigError::Answer("initdb fails"));
        }
        database.up().await?;
        Ok(database)
    }

    /// As the gateway's `store.url`.
    pub(crate) fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}/postgres", self.port)
    }

    /// Starts the server, and waits until it takes connections.
    pub(crate) async fn up(&mut self) -> Result<(), RigError> {
        let mut server = self.command("postgres");
        server.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        server.args(["-c", "listen_addresses=127.0.0.1", "-c", "unix_socket_directories="]);
        server.args(["-c", "max_connections=100"]).stdin(Stdio::null()).stdout(Stdio::null());
        let log = std::fs::File::options().create(true).append(true).open(self.directory.join("log"));
        server.stderr(log.map_err(RigError::system("PostgreSQL's log"))?).kill_on_drop(true);
        self.server = Some(server.spawn().map_err(RigError::system("starting PostgreSQL"))?);
        for _ in 0..LOOKS {
            tokio::time::sleep(LOOK_AGAIN).await;
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string()).stderr(Stdio::null());
            if ready.status().await.is_ok_and(|status| status.success()) {
                return Ok(());
            }
        }
        Err(RigError::Answer("PostgreSQL does not start"))
    }

    /// Kills the server and all its processes, as a failing machine would.
    pub(crate) async fn kill(&mut self) -> Result<(), RigError> {
        self.signal_all(Signal::KILL)?;
        if let Some(mut server) = self.server.take() {
            server.wait().await.map_err(RigError::system("PostgreSQL's end"))?;
        }
        Ok(())
    }

    /// Stops all its processes: connections stay, and nobody answers.
    pub(crate) fn pause(&self) -> Result<(), RigError> {
        self.signal_all(Signal::STOP)
    }

    /// Lets them go on.
    pub(crate) fn resume(&self) -> Result<(), RigError> {
        self.signal_all(Signal::CONT)
    }

    fn signal_all(&self, signal: Signal) -> Result<(), RigError> {
        let Some(server) = self.server.as_ref().and_then(Child::id) else { return Ok(()) };
        // First whoever could make another one.
        send(server, signal).map_err(|error| RigError::system("a signal to PostgreSQL")(error.into()))?;
        let processes = std::fs::read_dir("/proc").map_err(RigError::system("/proc"))?;
        let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
        for id in ids.filter(|id| parent(*id) == Some(server)) {
            // One that ended meanwhile is no loss.
            let _ = send(id, signal);
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    /// One of its programs, as whoever may run it, ending with this process.
    fn command(&self, name: &str) -> Command {
        let mut command = Command::new("setpriv");
        if self.user.is_some() {
            command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
        }
        command.args(["--pdeathsig", "KILL", "--"]).arg(self.programs.join(name)).current_dir("/");
        command
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // A killed server's processes see its end and leave by themselves; stopped ones do not.
        let _ = self.signal_all(Signal::KILL);
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn send(id: u32, signal: Signal) -> rustix::io::Result<()> {
    Pid::from_raw(id.cast_signed()).map_or(Ok(()), |id| kill_process(id, signal))
}

fn parent(id: u32) -> Option<u32> {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("PPid:"))?.trim().parse().ok()
}

fn free_port() -> Result<u16, RigError> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(RigError::system("a port"))?;
    Ok(listener.local_addr().map_err(RigError::system("a port"))?.port())
}

/// The newest that Debian's packages bring, unless `PG_BIN` says otherwise.
fn programs() -> Option<PathBuf> {
    if let Some(directory) = std::env::var_os("PG_BIN") {
        return Some(directory.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    Some(Path::new("/usr/lib/postgresql").join(versions.max()?.to_string()).join("bin"))
}

async fn user() -> Result<Option<u32>, RigError> {
    if !rustix::process::getuid().is_root() {
        return Ok(None);
    }
    let output = Command::new("id").args(["-u", "postgres"]).output().await;
    let output = output.map_err(RigError::system("the user of PostgreSQL"))?;
    let id = std::str::from_utf8(&output.stdout).ok().and_then(|text| text.trim().parse().ok());
    id.map(Some).ok_or(RigError::Answer("there is no user `postgres`, and root does not run PostgreSQL"))
}
