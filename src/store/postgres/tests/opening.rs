//! What a database must be, and what is said about one that is not.

use crate::store::StoreError;
use crate::store::durable::Durable as _;
use crate::store::postgres::OpenError;
use crate::store::postgres::open::Looks;
use crate::store::postgres::tests::cluster::PASSWORD;
use crate::store::postgres::tests::{Database, cluster};

fn looks() -> Looks {
    Looks { version: 140_000, synchronous_commit: "on".into(), is_read_only: false, encoding: "UTF8".into() }
}

/// The error with what is behind it, as a log prints it.
fn whole(error: &dyn std::error::Error) -> String {
    error.source().map_or_else(|| error.to_string(), |source| format!("{error}: {}", whole(source)))
}

#[test]
fn a_database_that_cannot_keep_what_it_acknowledges_is_refused() {
    let check = |looks: Looks, expected: &str| {
        let error = looks.judge().unwrap_err().to_string();
        assert!(error.contains(expected), "{error}");
    };
    looks().judge().unwrap();
    for kind in ["local", "remote_write", "remote_apply"] {
        Looks { synchronous_commit: kind.into(), ..looks() }.judge().unwrap();
    }
    check(Looks { version: 130_014, ..looks() }, "PostgreSQL 13 is too old: 14 or newer");
    check(Looks { synchronous_commit: "off".into(), ..looks() }, "synchronous_commit is off");
    check(Looks { is_read_only: true, ..looks() }, "can only be read");
    check(Looks { encoding: "SQL_ASCII".into(), ..looks() }, "encoding is SQL_ASCII: it must be UTF8");
}

#[tokio::test]
async fn synchronous_commit_off_is_neither_opened_nor_ready() {
    let database = Database::new();
    let store = database.store().await;
    store.check().await.unwrap();
    let name = database.url.rsplit('/').next().unwrap();
    cluster::shared().run(&format!("ALTER DATABASE {name} SET synchronous_commit = off"));
    let error = database.try_open().await.err().unwrap();
    assert!(matches!(error, OpenError::Forgetful), "{error}");
    // Connections that are new by then have it as well.
    let another = sqlx::PgPool::connect(&database.url).await.unwrap();
    let error = crate::store::postgres::check(&another).await.unwrap_err();
    assert!(matches!(&error, StoreError::Away(reason) if reason.to_string().contains("synchronous_commit")));
    store.close().await;
}

#[tokio::test]
async fn no_error_says_the_password() {
    let refused = Database { url: "postgres://imcast:canary-database@127.0.0.1:1/imcast".into() };
    let wrong = Database { url: "postgres://imcast:canary-database@127.0.0.1:port/imcast".into() };
    let odd = "postgres://imcast:canary-database@127.0.0.1/imcast?sslmode=canary-database";
    let odd = Database { url: odd.into() };
    let unknown = Database::new();
    let unknown = Database { url: unknown.url.replace("//postgres:", "//nobody:") };
    for (database, expected) in [
        (refused, "cannot connect to PostgreSQL at 127.0.0.1:1/imcast"),
        (wrong, "not a URL of PostgreSQL"),
        (odd, "not a URL of PostgreSQL"),
        (unknown, "role \"nobody\" does not exist"),
    ] {
        let error = database.try_open().await.err().unwrap();
        let (text, debug) = (whole(&error), format!("{error:?} {:?}", database.opening().url));
        assert!(text.contains(expected), "{text}");
        assert!(!text.contains(PASSWORD) && !debug.contains(PASSWORD), "{text} {debug}");
    }
}

#[tokio::test]
async fn many_can_open_a_new_database_at_once() {
    let database = Database::new();
    let opened = futures_of(8, || database.try_open()).await;
    for store in opened {
        store.unwrap().close().await;
    }
}

/// The results of so many at once.
async fn futures_of<F: Future>(count: usize, make: impl Fn() -> F) -> Vec<F::Output> {
    let mut waiting: Vec<_> = (0..count).map(|_| Some(Box::pin(make()))).collect();
    let mut done = Vec::new();
    std::future::poll_fn(|context| {
        for slot in &mut waiting {
            if let Some(future) = slot
                && let std::task::Poll::Ready(output) = future.as_mut().poll(context)
            {
                done.push(output);
                *slot = None;
            }
        }
        if done.len() == count { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
    })
    .await;
    done
}
