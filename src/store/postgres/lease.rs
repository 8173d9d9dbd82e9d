//! The lease of this process: one row that it renews, on a connection of its own, so that no load holds it up.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection};
use sqlx::{ConnectOptions as _, Connection as _, Error, query, query_scalar};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::store::postgres::holding::{Holding, LEASE, RENEWAL};

/// How long one renewal may take, a new connection included.
const PATIENCE: Duration = Duration::from_secs(3);

/// How soon one that failed is tried again.
const PAUSE: Duration = Duration::from_millis(500);

/// Makes this process a replica: its number.
pub(super) async fn enter(connection: &mut PgConnection) -> Result<i64, Error> {
    let enter = "INSERT INTO replicas (lease_until) VALUES (clock_timestamp() + make_interval(secs => $1)) \
        RETURNING id";
    query_scalar(enter).bind(LEASE.as_secs_f64()).fetch_one(connection).await
}

/// Renews a lease, even one that is over, as long as nobody has taken its row away; whether it is still there.
async fn renew(connection: &mut PgConnection, replica: i64) -> Result<bool, Error> {
    let renew =
        "UPDATE replicas SET lease_until = clock_timestamp() + make_interval(secs => $1) WHERE id = $2";
    let renewed = query(renew).bind(LEASE.as_secs_f64()).bind(replica).execute(connection).await?;
    Ok(renewed.rows_affected() > 0)
}

/// Renews the lease until the store closes, and gives it back then.
pub(super) struct Keeper {
    /// `None` = the next renewal opens one.
    pub(super) connection: Option<PgConnection>,
    pub(super) options: PgConnectOptions,
    pub(super) holding: Arc<Holding>,
    pub(super) closing: CancellationToken,
    /// The store's writes have ended: nothing is left that needs the lease.
    pub(super) idle: CancellationToken,
}

impl Keeper {
    /// Renews the lease until nothing needs it any more.
    pub(super) async fn run(mut self) {
        let mut pause = RENEWAL;
        while self.idle.clone().run_until_cancelled(tokio::time::sleep(pause)).await.is_some() {
            pause = match self.renew().await {
                Ok(()) => RENEWAL,
                Err(error) => {
                    warn!(%error, "The lease on the database was not renewed.");
                    PAUSE
                }
            };
        }
        // Whoever asks next may take over what is left.
        let left = tokio::time::timeout(PATIENCE, self.leave()).await;
        if !matches!(left, Ok(Ok(()))) {
            warn!("The lease on the database was not given back; others wait until it is over.");
        }
    }

    /// One renewal; a connection whose state is not known is not used again.
    pub(super) async fn renew(&mut self) -> Result<(), Error> {
        let start = Instant::now();
        let work = async {
            let mut connection = self.connect().await?;
            let replica = self.holding.replica();
            if renew(&mut connection, replica).await? {
                self.holding.renewed(start);
            } else {
                self.holding.replaced(enter(&mut connection).await?, start);
                if !self.closing.is_cancelled() {
                    info!("The lease on the database was lost, and with it the batches of this process.");
                }
            }
            Ok::<_, Error>(connection)
        };
        let renewed = tokio::time::timeout(PATIENCE, work).await;
        self.connection = Some(renewed.map_err(|_| Error::PoolTimedOut)??);
        Ok(())
    }

    async fn leave(&mut self) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        let leave = query("DELETE FROM replicas WHERE id = $1").bind(self.holding.replica());
        leave.execute(&mut connection).await?;
        connection.close().await
    }

    async fn connect(&mut self) -> Result<PgConnection, Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.options.connect().await,
        }
    }
}
