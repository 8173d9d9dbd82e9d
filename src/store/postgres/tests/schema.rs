//! Both engines keep the same things under the same names.

use std::collections::BTreeMap;

use sqlx::{Row as _, query};

use crate::store::postgres::tests::Database;

/// Tables, their columns, and whether each may be NULL.
type Schema = BTreeMap<String, BTreeMap<String, bool>>;

/// What a database that several replicas share has besides.
const OWN: [(&str, &[&str]); 5] = [
    ("replicas", &["id", "lease_until"]),
    ("batches", &["owner"]),
    ("chunks", &["serial"]),
    ("budgets", &["account", "kind", "full_at"]),
    ("tokens", &["account", "version", "sealed", "issued_at", "expires_at", "fetch_until"]),
];

async fn of_postgres() -> Schema {
    let database = Database::new();
    let store = database.store().await;
    let columns = "SELECT table_name::text, column_name::text, is_nullable = 'YES' \
        FROM information_schema.columns WHERE table_schema = 'public'";
    let mut schema = Schema::new();
    for row in query(columns).fetch_all(&store.pool).await.unwrap() {
        let (table, column, is_nullable): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        schema.entry(table).or_default().insert(column, is_nullable);
    }
    store.close().await;
    schema
}

async fn of_sqlite() -> Schema {
    use sqlx::Connection as _;
    let mut connection = sqlx::SqliteConnection::connect("sqlite::memory:").await.unwrap();
    let tables = [
        include_str!("../../../../migrations/sqlite/0001_batches.sql"),
        include_str!("../../../../migrations/sqlite/0002_lists.sql"),
        include_str!("../../../../migrations/sqlite/0003_remarks.sql"),
    ];
    for tables in tables {
        sqlx::raw_sql(tables).execute(&mut connection).await.unwrap();
    }
    let columns = "SELECT m.name, c.name, c.\"notnull\" = 0 \
        FROM sqlite_schema AS m, pragma_table_info(m.name) AS c WHERE m.type = 'table'";
    let mut schema = Schema::new();
    for row in query(columns).fetch_all(&mut connection).await.unwrap() {
        let (table, column, is_nullable): (String, String, bool) = (row.get(0), row.get(1), row.get(2));
        schema.entry(table).or_default().insert(column, is_nullable);
    }
    schema
}

#[tokio::test]
async fn both_engines_have_the_same_tables() {
    let mut postgres = of_postgres().await;
    postgres.remove("_sqlx_migrations").unwrap();
    for (table, columns) in OWN {
        for column in columns {
            postgres.get_mut(table).unwrap().remove(*column).unwrap();
        }
    }
    postgres.retain(|_, columns| !columns.is_empty());
    assert_eq!(postgres, of_sqlite().await);
}
