//! A real PostgreSQL in a temporary directory, and databases in it.
//!
//! One for each test process, which takes it along when it ends, however it ends.

use std::net::TcpListener;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

/// What to do where there is none.
const MISSING: &str = "PostgreSQL is not installed: these tests start one of their own. Install it with \
    `apt-get install --no-install-recommends postgresql` (which `scripts/test` does where it may), or set PG_BIN to \
    the directory of `initdb` and `postgres`";

/// What no output may ever show.
pub(crate) const PASSWORD: &str = "canary-database";

/// How often a start is tried, and how often one is asked whether it is up: 60 s in all.
const STARTS: u32 = 5;
const LOOKS: u32 = 600;

/// How often a server that was down is started: 30 s and more in all.
const RESTARTS: u32 = 300;

/// A server of its own.
pub(crate) struct Cluster {
    programs: PathBuf,
    directory: PathBuf,
    port: u16,
    server: Mutex<Option<Child>>,
    databases: AtomicU32,
    /// Reads until we are gone and takes the directory away then.
    _keeper: Child,
}

/// Whether a commit reaches the disk: only where something is killed.
#[derive(Clone, Copy)]
pub(crate) enum Flush {
    Never,
    Always,
}

/// The one that the tests of this process share.
pub(crate) fn shared() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::start(Flush::Never))
}

impl Cluster {
    /// A fresh one.
    pub(crate) fn start(flush: Flush) -> Self {
        let programs = programs().unwrap_or_else(|| panic!("{MISSING}"));
        let directory = tempfile::Builder::new().prefix("imcast-postgres-").tempdir().unwrap().keep();
        if let Some(user) = user() {
            chown(&directory, Some(user), None).unwrap();
        }
        let script = "read -r _; tries=0; \
            until rm -rf \"$1\" || [ $tries -ge 50 ]; do tries=$((tries + 1)); sleep 0.1; done";
        let mut keeper = Command::new("sh");
        keeper.args(["-c", script, "sh"]).arg(&directory).stdin(Stdio::piped());
        let keeper = spawn(quiet(keeper));
        let data = directory.join("data");
        let mut initdb = as_user(&programs.join("initdb"));
        initdb.args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C"]);
        initdb.args(["--no-sync", "--no-instructions", "-D"]).arg(&data);
        let made = quiet(initdb).status().unwrap();
        assert!(made.success(), "initdb: {made}");
        let flush = match flush {
            Flush::Never => "fsync = off\nfull_page_writes = off\n",
            Flush::Always => "",
        };
        let settings = format!(
            "listen_addresses = '127.0.0.1'\nunix_socket_directories = ''\nmax_connections = 300\n{flush}"
        );
        let file = data.join("postgresql.conf");
        std::fs::write(&file, settings).unwrap();
        let (server, databases) = (Mutex::new(None), AtomicU32::new(0));
        let mut cluster = Self { programs, directory, port: 0, server, databases, _keeper: keeper };
        for _ in 0..STARTS {
            // Free now; should somebody else be faster, another one is tried.
            cluster.port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if cluster.try_up() {
                return cluster;
            }
        }
        panic!("PostgreSQL does not start: {}", cluster.log());
    }

    /// Starts the server that is down.
    pub(crate) fn up(&self) {
        for _ in 0..RESTARTS {
            if self.try_up() {
                return;
            }
            // A crashed one may leave sessions that have not noticed yet.
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("PostgreSQL does not start: {}", self.log());
    }

    fn try_up(&self) -> bool {
        // The end of this process is the end of the server: through the thread that started it, hence its own.
        let mut server = as_user(&self.programs.join("postgres"));
        server.arg("-D").arg(self.data()).arg("-p").arg(self.port.to_string());
        let log = std::fs::File::options().create(true).append(true).open(self.directory.join("log"));
        server.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap());
        let mut server = spawn(server);
        for _ in 0..LOOKS {
            let mut ready = Command::new(self.programs.join("pg_isready"));
            ready.args(["-q", "-h", "127.0.0.1", "-p"]).arg(self.port.to_string());
            if server.try_wait().unwrap().is_some() {
                return false;
            }
            if quiet(ready).status().unwrap().success() {
                *self.server.lock().unwrap() = Some(server);
                return true;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        false
    }

    /// Kills the server as a failing machine would: it has no time to tidy up.
    pub(crate) fn crash(&self) {
        let mut stop = as_user(&self.programs.join("pg_ctl"));
        stop.args(["stop", "-m", "immediate", "-D"]).arg(self.data());
        assert!(quiet(stop).status().unwrap().success());
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.wait().unwrap();
        }
    }

    /// Kills the server's first process with `kill -9`; its sessions end when they notice.
    pub(crate) fn kill(&self) {
        if let Some(mut server) = self.server.lock().unwrap().take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
    }

    /// A database of its own: its URL.
    pub(crate) fn database(&self) -> String {
        let name = format!("test_{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.run(&format!("CREATE DATABASE {name}"));
        self.url(&name)
    }

    /// Where a database is, with a password that it does not ask for.
    pub(crate) fn url(&self, database: &str) -> String {
        format!("postgres://postgres:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// Where the server listens.
    pub(crate) fn address(&self) -> std::net::SocketAddr {
        ([127, 0, 0, 1], self.port).into()
    }

    /// Runs a statement as whoever may do everything.
    pub(crate) fn run(&self, statement: &str) {
        let mut psql = Command::new(self.programs.join("psql"));
        psql.args(["-q", "-v", "ON_ERROR_STOP=1", "-h", "127.0.0.1", "-U", "postgres", "-p"]);
        psql.arg(self.port.to_string()).args(["-c", statement, "postgres"]);
        let output = psql.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
    }
}

/// Where the programs are: the newest that Debian's packages bring, unless `PG_BIN` says otherwise.
#[expect(clippy::disallowed_methods, reason = "how tests are run is no setting of the gateway")]
pub(crate) fn programs() -> Option<PathBuf> {
    if let Ok(directory) = std::env::var("PG_BIN") {
        return Some(directory.into());
    }
    let versions = std::fs::read_dir("/usr/lib/postgresql").ok()?;
    let versions = versions.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    let newest = Path::new("/usr/lib/postgresql").join(versions.max()?.to_string()).join("bin");
    newest.join("initdb").exists().then_some(newest)
}

/// Who runs it where we are root, as whom it does not run.
fn user() -> Option<u32> {
    let id = |arguments: &[&str]| {
        let output = Command::new("id").args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().parse::<u32>().ok()
    };
    (id(&["-u"]) == Some(0)).then(|| id(&["-u", "postgres"]).unwrap_or_else(|| panic!("{MISSING}")))
}

/// A program that ends with the thread that started it, run as whoever may run it.
fn as_user(program: &Path) -> Command {
    let mut command = Command::new("setpriv");
    if user().is_some() {
        command.args(["--reuid", "postgres", "--regid", "postgres", "--clear-groups"]);
    }
    command.args(["--pdeathsig", "KILL", "--"]).arg(program).current_dir("/");
    command
}

fn quiet(mut command: Command) -> Command {
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Starts a program on a thread that lives as long as this process: a test's own ends with the test.
fn spawn(mut command: Command) -> Child {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let _ = sender.send(command.spawn().unwrap());
        loop {
            std::thread::park();
        }
    });
    receiver.recv().unwrap()
}
