//! Why something was not done, and whether it may have been done all the same.

use sqlx::Error;

use crate::store::StoreError;
use crate::store::stored::Unreadable;

/// Classes of errors that say nothing about whether a statement's work was kept: connection exception, operator
/// intervention, system error, internal error.
/// Source: PostgreSQL documentation, appendix A "PostgreSQL Error Codes".
const UNDECIDED_CLASSES: [&str; 4] = ["08", "57", "58", "XX"];

/// `query_canceled`, of the third class: a statement that ran too long was undone.
const QUERY_CANCELED: &str = "57014";

/// Why a change was not made.
#[derive(Debug)]
pub(super) enum Flaw {
    /// Nothing was written.
    Away(Error),
    /// It may have been written: its answer was lost.
    Open(Error),
    /// The database holds what this program did not write.
    Unreadable(Unreadable),
    /// Another process has taken the batch over.
    Lost,
}

impl Flaw {
    /// What the last statement of a change, or its commit, came to.
    pub(super) fn of_last(error: Error) -> Self {
        let is_sure = if let Error::Database(refusal) = &error {
            refusal.code().is_some_and(|code| {
                code == QUERY_CANCELED || !UNDECIDED_CLASSES.iter().any(|class| code.starts_with(class))
            })
        } else {
            // Before anything was sent.
            matches!(error, Error::PoolTimedOut | Error::PoolClosed | Error::Encode(_))
        };
        if is_sure { Self::Away(error) } else { Self::Open(error) }
    }
}

impl From<Error> for Flaw {
    fn from(error: Error) -> Self {
        if matches!(error, Error::ColumnDecode { .. } | Error::ColumnNotFound(_) | Error::Decode(_)) {
            Self::Unreadable(Unreadable::new(error.to_string()))
        } else {
            Self::Away(error)
        }
    }
}

impl From<Unreadable> for Flaw {
    fn from(unreadable: Unreadable) -> Self {
        Self::Unreadable(unreadable)
    }
}

impl From<Flaw> for StoreError {
    fn from(flaw: Flaw) -> Self {
        match flaw {
            Flaw::Away(error) => Self::Away(error.into()),
            Flaw::Open(_) => Self::Unsettled,
            Flaw::Unreadable(unreadable) => unreadable.into(),
            Flaw::Lost => Self::Lost,
        }
    }
}
