//! Which batch sends recipients of which again.

use sqlx::postgres::PgConnection;
use sqlx::{Connection as _, Row as _, query};

use crate::domain::id::BatchId;
use crate::store::postgres::flaw::Flaw;
use crate::store::stored::rows::column;
use crate::store::{Link, Linked};

/// Notes a link, unless the family is not the one that was read; families are linked one link after the other.
pub(super) async fn link(connection: &mut PgConnection, link: &Link) -> Result<Linked, Flaw> {
    let Link { root, parent, child, known_links } = link;
    let (root, parent, child) = (root.to_string(), parent.to_string(), child.to_string());
    let mut transaction = connection.begin().await?;
    let turn = query("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))").bind(&root);
    turn.execute(&mut *transaction).await?;
    let known = "SELECT EXISTS (SELECT FROM links WHERE child = $1), EXISTS (SELECT FROM batches WHERE id = $2), \
        (SELECT count(*) FROM links WHERE root = $3)";
    let known = query(known).bind(&child).bind(&parent).bind(&root).fetch_one(&mut *transaction).await?;
    let (is_noted, is_kept, links): (bool, bool, i64) =
        (known.try_get(0)?, known.try_get(1)?, known.try_get(2)?);
    if is_noted {
        return Ok(Linked::Noted);
    }
    if !is_kept {
        return Ok(Linked::ParentGone);
    }
    if links != column(*known_links) {
        return Ok(Linked::FamilyChanged);
    }
    let insert = query("INSERT INTO links (child, parent, root) VALUES ($1, $2, $3)");
    insert.bind(child).bind(parent).bind(root).execute(&mut *transaction).await?;
    transaction.commit().await.map_err(Flaw::of_last)?;
    Ok(Linked::Noted)
}

/// Takes the link of a child back.
pub(super) async fn unlink(connection: &mut PgConnection, child: BatchId) -> Result<bool, Flaw> {
    let unlink = query("DELETE FROM links WHERE child = $1").bind(child.to_string());
    Ok(unlink.execute(connection).await.map_err(Flaw::of_last)?.rows_affected() > 0)
}
