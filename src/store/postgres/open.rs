//! Opens the database: what it must be, its tables, its connections and the tasks behind them.

use std::sync::Arc;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migration, MigrationType, Migrator};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqlSafeStr as _, query};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::store::memory::MemoryStore;
use crate::store::postgres::holding::Holding;
use crate::store::postgres::lease::{self, Keeper};
use crate::store::postgres::records::Recorder;
use crate::store::postgres::{Opening, PostgresStore, retention};
use crate::store::queue::queue;
use crate::store::unrecorded::Unrecorded;

/// The oldest version whose statements we use, as the server counts: 14.
const OLDEST_VERSION: i32 = 140_000;

/// How long the first connection may take.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);

/// How long a change or a reader waits for its connection.
const ACQUIRE_PATIENCE: Duration = Duration::from_secs(2);

/// For how long a connection is taken to be alive after it was used.
const FRESH: Duration = Duration::from_secs(1);

/// What the database itself gives up: a statement that runs on for long, one that waits for a lock for long, and a
/// transaction whose process is gone. All in milliseconds, and less than our own patience.
const LIMITS: [(&str, &str); 3] = [
    ("statement_timeout", "8000"),
    ("lock_timeout", "5000"),
    ("idle_in_transaction_session_timeout", "10000"),
];

/// Why a database cannot be used. No variant says the URL: it holds the password.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The URL cannot be read.
    #[error("it is not a URL of PostgreSQL: postgres://user:password@host:port/database")]
    Url,
    /// Nobody answers, or he does not let us in.
    #[error("cannot connect to PostgreSQL at {place}")]
    Connect {
        /// Host, port and database.
        place: String,
        /// What stands in the way.
        source: sqlx::Error,
    },
    /// It does not answer in time.
    #[error("PostgreSQL at {0} does not answer")]
    Silent(String),
    /// Its version is too old.
    #[error("PostgreSQL {0} is too old: 14 or newer is needed")]
    TooOld(i32),
    /// What it acknowledges may be lost.
    #[error(
        "synchronous_commit is off, so that what is acknowledged can be lost: set it to on for this role or database"
    )]
    Forgetful,
    /// It is a standby, or set to be read only.
    #[error("the database can only be read: it is a standby, or transactions are read only by default")]
    ReadOnly,
    /// Its text is not Unicode.
    #[error("the database's encoding is {0}: it must be UTF8")]
    Encoding(String),
    /// Its tables are not those of this version.
    #[error("the tables of the database cannot be brought to this version")]
    Tables(#[source] MigrateError),
    /// It does not let us work.
    #[error("the database refuses what it is asked for")]
    Refused(#[source] sqlx::Error),
}

impl PostgresStore {
    /// Opens the database and makes its tables; `memory` keeps reports that are not durable until they are written.
    ///
    /// # Errors
    /// [`OpenError`]: the operator mends it.
    pub async fn open(opening: Opening, memory: MemoryStore) -> Result<Self, OpenError> {
        let options = options(&opening)?;
        let mut connection = connect(&options).await?;
        look(&mut connection).await?.judge()?;
        // `run` itself would make a future that the compiler does not let move between threads.
        migrator().run_direct(None, &mut connection, false).await.map_err(OpenError::Tables)?;
        let options = options.options(LIMITS);
        let start = Instant::now();
        let replica = lease::enter(&mut connection).await.map_err(OpenError::Refused)?;
        // It was made without the limits, which are too tight for new tables; the lease makes one of its own.
        let _ = connection.close().await;
        let holding = Arc::new(Holding::new(replica, start));
        let pool = pool(&options, opening.connections);
        let (closing, idle) = (CancellationToken::new(), CancellationToken::new());
        let (tasks, lease) = (TaskTracker::new(), TaskTracker::new());
        let (records, waiting) = queue();
        let unrecorded = Arc::<Unrecorded>::default();
        lease.spawn(
            Keeper {
                connection: None,
                options,
                holding: Arc::clone(&holding),
                closing: closing.clone(),
                idle: idle.clone(),
            }
            .run(),
        );
        let recorder = Recorder {
            pool: pool.clone(),
            waiting,
            unrecorded: Arc::clone(&unrecorded),
            closing: closing.clone(),
        };
        tasks.spawn(recorder.run());
        let (until_closing, sweeping) =
            (closing.clone(), retention::sweep_for_ever(pool.clone(), opening.retention));
        tasks.spawn(async move { until_closing.run_until_cancelled(sweeping).await });
        Ok(Self {
            memory,
            pool,
            lists: Semaphore::new(turns_of_lists(opening.connections)),
            holding,
            records,
            unrecorded,
            providers: opening.providers,
            claiming: tokio::sync::Mutex::default(),
            tasks,
            lease,
            _ends_when_dropped: [closing.clone().drop_guard(), idle.clone().drop_guard()],
            closing,
            idle,
        })
    }
}

fn options(opening: &Opening) -> Result<PgConnectOptions, OpenError> {
    // What is wrong with it may be a part of the password.
    let options: PgConnectOptions = opening.url.expose().parse().map_err(|_| OpenError::Url)?;
    let options = match options.get_application_name() {
        None => options.application_name("imcast"),
        Some(_) => options,
    };
    Ok(options.disable_statement_logging())
}

/// Half of the connections; with only one there is nothing to choose.
fn turns_of_lists(connections: u32) -> usize {
    usize::try_from((connections / 2).max(1)).unwrap_or(1)
}

fn pool(options: &PgConnectOptions, connections: u32) -> sqlx::PgPool {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE_PATIENCE)
        // One that was used a moment ago is not asked whether it is alive: that would double the way of each change.
        .test_before_acquire(false)
        .before_acquire(|connection, about| {
            Box::pin(async move {
                if about.idle_for > FRESH {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
        .connect_lazy_with(options.clone())
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, OpenError> {
    let place = match options.get_socket() {
        Some(socket) => socket.display().to_string(),
        None => format!("{}:{}", options.get_host(), options.get_port()),
    };
    let place = match options.get_database() {
        Some(database) => format!("{place}/{database}"),
        None => place,
    };
    match tokio::time::timeout(CONNECT_PATIENCE, options.connect()).await {
        Ok(connected) => connected.map_err(|source| OpenError::Connect { place, source }),
        Err(_) => Err(OpenError::Silent(place)),
    }
}

/// What a database says of itself.
#[derive(Clone, Debug)]
pub(super) struct Looks {
    /// As the server counts: 140005 is 14.5.
    pub(super) version: i32,
    pub(super) synchronous_commit: String,
    pub(super) is_read_only: bool,
    pub(super) encoding: String,
}

async fn look(connection: &mut PgConnection) -> Result<Looks, OpenError> {
    let looks = "SELECT current_setting('server_version_num')::integer, current_setting('synchronous_commit'), \
        pg_is_in_recovery() OR current_setting('transaction_read_only')::boolean, \
        current_setting('server_encoding')";
    let row = query(looks).fetch_one(connection).await.map_err(OpenError::Refused)?;
    let read = || {
        Ok(Looks {
            version: row.try_get(0)?,
            synchronous_commit: row.try_get(1)?,
            is_read_only: row.try_get(2)?,
            encoding: row.try_get(3)?,
        })
    };
    read().map_err(OpenError::Refused)
}

impl Looks {
    /// Whether what is written there stays written, and can be written at all.
    pub(super) fn judge(self) -> Result<(), OpenError> {
        if self.version < OLDEST_VERSION {
            Err(OpenError::TooOld(self.version / 10_000))
        } else if self.is_read_only {
            Err(OpenError::ReadOnly)
        } else if self.synchronous_commit == "off" {
            Err(OpenError::Forgetful)
        } else if self.encoding != "UTF8" {
            Err(OpenError::Encoding(self.encoding))
        } else {
            Ok(())
        }
    }
}

fn migrator() -> Migrator {
    let tables = [
        ("batches", include_str!("../../../migrations/postgres/0001_batches.sql").into_sql_str()),
        ("replicas", include_str!("../../../migrations/postgres/0002_replicas.sql").into_sql_str()),
        ("shared", include_str!("../../../migrations/postgres/0003_shared.sql").into_sql_str()),
        ("lists", include_str!("../../../migrations/postgres/0004_lists.sql").into_sql_str()),
        ("remarks", include_str!("../../../migrations/postgres/0005_remarks.sql").into_sql_str()),
    ];
    let migrations = (1..).zip(tables).map(|(version, (name, tables))| {
        Migration::new(version, name.into(), MigrationType::Simple, tables, false)
    });
    Migrator::with_migrations(migrations.collect())
}
