//! Opens the file: its lock, its tables, its connections and the tasks behind them.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, SqlSafeStr as _, SqlitePool};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::store::memory::MemoryStore;
use crate::store::queue::queue;
use crate::store::sqlite::orphans::Orphans;
use crate::store::sqlite::writer::Writer;
use crate::store::sqlite::{Opening, SqliteStore, read, retention};
use crate::store::unrecorded::Unrecorded;

/// Changes that wait for the writer before whoever asks for one waits himself.
const MOST_CHANGES: usize = 4_096;

/// Connections that read.
const READERS: u32 = 4;

/// Connections that read lists, beside those: who turns many pages keeps no report, no key and no probe waiting.
const LISTS: u32 = 2;

/// How long a reader waits for its connection.
const READER_PATIENCE: Duration = Duration::from_secs(5);

/// How long SQLite waits for a lock of its own; only a tool of an operator can hold one.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The system does not let us.
    #[error("{path} cannot be opened for writing")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// Another process has it.
    #[error("{0} is in use by another process: one file serves one gateway")]
    InUse(PathBuf),
    /// SQLite does not like what it finds.
    #[error("{path} cannot be used as a database")]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite says.
        source: sqlx::Error,
    },
    /// Its tables are not those of this version.
    #[error("the tables of {path} cannot be brought to this version")]
    Tables {
        /// The file.
        path: PathBuf,
        /// What stands in the way.
        source: MigrateError,
    },
}

impl SqliteStore {
    /// Opens the file and makes it if it is not there; `memory` keeps the latest reports in front of it.
    ///
    /// # Errors
    /// [`OpenError`]: the operator mends it.
    pub async fn open(opening: Opening, memory: MemoryStore) -> Result<Self, OpenError> {
        let (path, lock) = lock(&opening.path)?;
        let options = options(&path);
        let database = |source| OpenError::Database { path: path.clone(), source };
        let mut connection = options.connect().await.map_err(database)?;
        let tables = |source| OpenError::Tables { path: path.clone(), source };
        // `run` itself would make a future that the compiler does not let move between threads.
        migrator().run_direct(None, &mut connection, false).await.map_err(tables)?;
        let orphans = Orphans::new(read::unfinished(&mut connection).await.map_err(database)?);
        let (readers, lists) = (readers(&options, READERS), readers(&options, LISTS));
        let unrecorded = Arc::<Unrecorded>::default();
        let closing = CancellationToken::new();
        let tasks = TaskTracker::new();
        let (changes, waiting) = mpsc::channel(MOST_CHANGES);
        let (records, waiting_records) = queue();
        let writer = Writer {
            connection: Some(connection),
            options,
            changes: waiting,
            records: waiting_records,
            orphans: Arc::clone(&orphans),
            unrecorded: Arc::clone(&unrecorded),
            closing: closing.clone(),
            _lock: lock,
        };
        tasks.spawn(writer.run());
        let sweeping =
            retention::sweep_for_ever(changes.downgrade(), opening.retention, Arc::clone(&opening.now));
        let until_closing = closing.clone();
        tasks.spawn(async move { until_closing.run_until_cancelled(sweeping).await });
        Ok(Self {
            memory,
            changes,
            records,
            readers,
            lists,
            providers: opening.providers,
            now: opening.now,
            orphans,
            unrecorded,
            tasks,
            closing: closing.clone(),
            _closes_when_dropped: closing.drop_guard(),
        })
    }
}

/// Makes the file if need be and takes it for this process, until it ends or lets go.
///
/// The lock is on a file beside it: SQLite has its own on the file itself, and gives them back after each change.
pub(super) fn lock(path: &Path) -> Result<(PathBuf, File), OpenError> {
    let fault = |source| OpenError::File { path: path.to_owned(), source };
    open_file(path).map_err(fault)?;
    // Two ways to one file must not lead to two locks.
    let path = path.canonicalize().map_err(fault)?;
    let mut name = path.clone().into_os_string();
    name.push(".lock");
    let lock_path = PathBuf::from(name);
    let file = open_file(&lock_path);
    let file = file.map_err(|source| OpenError::File { path: lock_path.clone(), source })?;
    match file.try_lock() {
        Ok(()) => Ok((path, file)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path)),
        Err(TryLockError::Error(source)) => Err(OpenError::File { path: lock_path, source }),
    }
}

/// Messages and recipients are nobody else's business: only the owner may read the file.
fn open_file(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path)
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // Every commit is flushed: what was answered survives the machine as well.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .disable_statement_logging()
}

fn readers(options: &SqliteConnectOptions, count: u32) -> SqlitePool {
    SqlitePoolOptions::new()
        .max_connections(count)
        .acquire_timeout(READER_PATIENCE)
        .connect_lazy_with(options.clone().read_only(true).create_if_missing(false))
}

fn migrator() -> Migrator {
    let tables = [
        ("batches", include_str!("../../../migrations/sqlite/0001_batches.sql").into_sql_str()),
        ("lists", include_str!("../../../migrations/sqlite/0002_lists.sql").into_sql_str()),
        ("remarks", include_str!("../../../migrations/sqlite/0003_remarks.sql").into_sql_str()),
    ];
    let migrations = (1..).zip(tables).map(|(version, (name, tables))| {
        Migration::new(version, name.into(), MigrationType::Simple, tables, false)
    });
    Migrator::with_migrations(migrations.collect())
}
