//! What can go wrong with the store, and whether it is the database's trouble or ours.

use std::time::Duration;

/// A query or transaction failed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The driver or the server said no.
    #[error("database: {0}")]
    Database(#[from] sqlx::Error),
    /// No answer in time; whether a commit took effect is unknown.
    #[error("the database did not answer within {0:?}")]
    Timeout(Duration),
    /// The schema is older than this program.
    #[error("the database is not migrated; run `errand-api migrate`")]
    NotMigrated,
    /// The queue's own code failed.
    #[error("job queue: {0}")]
    Queue(String),
}

impl StoreError {
    /// True if the database is unreachable, restarting, full or overloaded: the same work may succeed later.
    pub fn is_outage(&self) -> bool {
        let Self::Database(error) = self else {
            return matches!(self, Self::Timeout(_) | Self::NotMigrated);
        };
        match error {
            sqlx::Error::Io(_)
            | sqlx::Error::Tls(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed
            | sqlx::Error::Protocol(_) => true,
            sqlx::Error::Database(error) => error.code().is_some_and(|code| is_outage_code(&code)),
            _ => false,
        }
    }

    /// The constraint that refused a write, if one did.
    pub fn constraint(&self) -> Option<&str> {
        match self {
            Self::Database(sqlx::Error::Database(error)) => error.constraint(),
            _ => None,
        }
    }
}

/// SQLSTATE classes: 08 connection, 53 resources (disk full, too many connections), 57P shutdown and start-up;
/// 57014 a time-out, 55P03 a lock not available, 40001 and 40P01 a conflict, 25006 a read-only standby.
fn is_outage_code(code: &str) -> bool {
    code.starts_with("08")
        || code.starts_with("53")
        || code.starts_with("57P")
        || matches!(
            code,
            "57014" | "55P03" | "40001" | "40P01" | "25006" | "58030"
        )
}

/// A worker's write for a run was refused or failed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The run is over, or another attempt owns it: whoever gets this stops and writes nothing more.
    #[error("the run is no longer this attempt's")]
    Fenced,
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<sqlx::Error> for WriteError {
    fn from(error: sqlx::Error) -> Self {
        Self::Store(error.into())
    }
}
